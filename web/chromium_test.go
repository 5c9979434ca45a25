//go:build chromium

package web_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reaperdb/reaper/web"
)

// lowContrast returns the pairs of text colors with too little contrast: below 4.5 to 1, the
// minimum of WCAG AA.
const lowContrast = `(() => {
	const rgb = c => { const [r, g, b, a = 1] = c.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
	const light = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255]; };
	const low = new Set();
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = walk.nextNode());) {
		const e = n.parentElement;
		if (!n.data.trim() || ["SCRIPT", "STYLE"].includes(e.tagName)) continue;
		const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) low.add(e.className + " " + e.tagName + " " + ratio.toFixed(2) + " " + n.data.trim().slice(0, 30));
	}
	return [...low].join("\n");
})()`

func TestInChromium(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for name, picture := range map[string]web.Status{"fine": fine(), "bad": bad(), "paused": paused(), "down": down(), "starting": {}} {
		server := httptest.NewServer(handler(still(picture)))
		t.Cleanup(server.Close)
		for _, width := range []int{1200, 390} {
			for _, scheme := range []string{"light", "dark"} {
				b.setViewport(width, scheme)
				b.open(server.URL)
				b.screenshot(fmt.Sprintf("%s-%d-%s", name, width, scheme))
				b.checkPage(t, fmt.Sprintf("%s, %d px, %s", name, width, scheme))
			}
		}
	}
}

// checkPage checks what is true of every page.
func (b *browser) checkPage(t *testing.T, what string) {
	t.Helper()
	for expression, want := range map[string]string{
		`document.documentElement.dataset.owned`:               "undefined", // set set by a tenant's name
		`document.documentElement.dataset.refreshes`:           "10000",     // our own script ran
		`document.querySelectorAll("script").length`:           "1",
		`document.querySelectorAll("img").length`:              "0",
		`document.documentElement.scrollWidth <= innerWidth`:   "true", // no horizontal overflow
		`getComputedStyle(document.body).maxWidth !== "none"`:  "true", // the style applies
		`document.querySelector("h1").offsetTop < innerHeight`: "true",
		lowContrast: "",
	} {
		if got := b.eval(expression); got != want {
			t.Errorf("%s: %s is %s, want %s", what, strings.SplitN(expression, "\n", 2)[0], got, want)
		}
	}
	for _, c := range b.consoleErrors() {
		t.Errorf("%s: chromium says %s", what, c)
	}
}

// The page refreshes itself, and says so when nobody answers.
func TestRefreshInChromium(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	var picture atomic.Pointer[web.Status]
	picture.Store(new(fine()))
	server := httptest.NewServer(handler(func() web.Status { return *picture.Load() }))
	t.Cleanup(server.Close)
	b.setViewport(390, "dark")
	b.open(server.URL)
	picture.Store(new(down()))
	b.refreshAndWait(`document.querySelector("h1").innerText.trim() === "The database does not answer" && document.title.startsWith("The database does not answer")`)
	server.Close()
	b.refreshAndWait(`!document.getElementById("lost").hidden && document.title.startsWith("No answer")`)
	b.screenshot("lost")
	if low := b.eval(lowContrast); low != "" {
		t.Errorf("too little contrast: %s", low)
	}
}
