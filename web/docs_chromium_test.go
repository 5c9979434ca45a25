//go:build chromium

package web_test

import (
	"flag"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/reaperdb/reaper/web"
)

var docsImages = flag.String("docs-images", "", "write the pictures of the documentation into this directory")

// The pages in the documentation's pictures are without faults, as all others; the pictures are
// written only when asked for.
func TestDocsImagesInChromium(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	b.setViewport(1000, "light")
	for name, picture := range map[string]web.Status{"page": fine(), "page-late": late()} {
		server := httptest.NewServer(handler(still(picture)))
		t.Cleanup(server.Close)
		b.open(server.URL)
		b.checkPage(t, name)
		dir := *docsImages
		if dir == "" {
			dir = t.ArtifactDir()
		}
		b.saveImage(filepath.Join(dir, name+".png"), `{"captureBeyondViewport": true, "clip": {"x": 0, "y": 0, "width": 1000, "height": 880, "scale": 1}}`)
	}
}

// late is a snapshot of a policy that has fallen behind while a guard pauses its run.
func late() web.Status {
	s := fine()
	p := &s.Policies[0]
	p.LagSeconds, p.BacklogRows, p.OverdueTenants = new(30.5*3600), new(int64(2904331)), new(int64(1207))
	p.Late, p.LateSince = true, ago(18*time.Hour+30*time.Minute)
	p.LastSuccessAt = ago(22 * time.Hour)
	tenant := "4711"
	p.Running = &web.Progress{
		RunID: "0196", Trigger: "schedule", Instance: "reaper-0", StartedAt: *ago(7 * time.Minute), Roots: 602118, Due: new(int64(2904331)), Rows: 911402,
		Batches: 611, TenantsDone: 214, TenantsDue: new(int64(1207)), Tenant: &tenant,
		Held: &web.Held{Guard: "replica_lag", State: "pause", Reason: "the replica standby-2 is 6 min 52 s behind", Since: *ago(3 * time.Minute)},
	}
	for i, key := range []string{"4711", "1093", "87"} {
		p.WorstTenants = append(p.WorstTenants, web.Tenant{Key: &key, LagSeconds: float64(30-i) * 3600, Rows: new(int64(40000 / (i + 1)))})
	}
	s.Guards = append(s.Guards, web.Guard{
		Name: "replica_lag", State: "pause", Value: new(412.0), Unit: "seconds", Slow: new(5.0), Pause: new(60.0), Since: ago(3 * time.Minute), At: ago(time.Second),
		Reason: "the replica standby-2 is 6 min 52 s behind",
	})
	return s
}
