package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/web"
)

// forecastText describes the forecast of the database's size.
func forecastText(f *web.Forecast) string {
	text := bytesText(f.UsedBytes) + " used"
	if f.LimitBytes != nil {
		text = bytesText(f.UsedBytes) + " of " + bytesText(*f.LimitBytes) + " used"
	}
	text += "; " + f.Reason
	if f.FullAt != nil {
		text += "; full at " + f.FullAt.UTC().Format(time.DateTime) + " UTC"
	}
	return text
}

// balanceText describes whether deletion keeps up.
func balanceText(b *web.Balance) string {
	parts := []string{perSecond(b.Arrival) + " rows a second arrive"}
	if b.Due != nil {
		parts = append(parts, perSecond(b.Due)+" become due")
	}
	parts = append(parts, perSecond(b.Deletion)+" are deleted")
	text := strings.Join(parts, ", ") + "; " + b.Reason
	if b.ClearSeconds != nil && *b.ClearSeconds > 0 {
		text += " (nothing is due in " + duration(*b.ClearSeconds) + ")"
	}
	return text
}

// perSecond formats a rate with only significant digits.
func perSecond(rate *float64) string {
	if *rate >= 10 {
		return humanize.Commaf(math.Round(*rate))
	}
	return humanize.Commaf(math.Round(*rate*100) / 100)
}

// guardsTable lists the guards' states.
func guardsTable(guards []web.Guard) *terminal.Table {
	t := terminal.NewTable(column("guard", 0), column("says", 0), figure("reads", 1), column("why", 0))
	for _, g := range guards {
		t.Row(strings.TrimSpace(g.Name+" "+g.Policy), toned(guardWord(g)), guardValue(g), g.Reason)
	}
	return t
}

func guardWord(g web.Guard) string {
	if g.Off {
		return "off"
	}
	return g.State
}

// guardValue is a guard's reading in its unit.
func guardValue(g web.Guard) string {
	switch {
	case g.Unknown:
		return "unknown"
	case g.Off || g.Value == nil:
		return ""
	}
	switch v := *g.Value; g.Unit {
	case "bytes":
		return bytesText(int64(v))
	case "bytes_per_second":
		return bytesText(int64(v)) + "/s"
	case "seconds":
		if v < 1 {
			return fmt.Sprintf("%.3g ms", 1000*v)
		}
		return fmt.Sprintf("%.3g s", v)
	case "ratio":
		return fmt.Sprintf("%.1f %%", 100*v)
	default:
		return humanize.Commaf(math.Round(v*100) / 100)
	}
}
