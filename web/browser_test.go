//go:build chromium

package web_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// browser is a Chromium driven through a pipe by the DevTools protocol: one browser, one
// page, one test.
type browser struct {
	t       *testing.T
	in      io.Writer
	pipe    *os.File // read by out
	out     *bufio.Reader
	last    int
	session string
	events  []message
}

type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not on PATH, and the page is tested in it: bash scripts/chromium.sh")
	}
	down, in := pipe(t)
	out, up := pipe(t)
	cmd := exec.CommandContext(context.Background(), path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "--no-first-run", "--hide-scrollbars", "about:blank")
	// The test's own context ends before its cleanup, in which Chromium exits by itself.
	cmd.ExtraFiles = []*os.File{down, up} // its file descriptors 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	down.Close()
	up.Close()
	b := &browser{t: t, in: in, pipe: out, out: bufio.NewReaderSize(out, 1<<20)}
	t.Cleanup(func() {
		in.Close() // it exits when the pipe closes
		if err := cmd.Wait(); err != nil {
			t.Logf("chromium: %v", err)
		}
		out.Close()
	})
	b.attach()
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// attach opens a page.
func (b *browser) attach() {
	var target struct{ TargetID string }
	b.call("Target.createTarget", `{"url": "about:blank"}`, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", fmt.Sprintf(`{"targetId": %q, "flatten": true}`, target.TargetID), &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", "{}", nil)
	}
	b.call("Page.setLifecycleEventsEnabled", `{"enabled": true}`, nil)
}

// call sends a command and waits for the answer.
func (b *browser) call(method, params string, result any) {
	b.t.Helper()
	b.last++
	session := ""
	if b.session != "" {
		session = fmt.Sprintf(`, "sessionId": %q`, b.session)
	}
	if _, err := fmt.Fprintf(b.in, `{"id": %d, "method": %q, "params": %s%s}`+"\x00", b.last, method, params, session); err != nil {
		b.t.Fatal(err)
	}
	for {
		m := b.read()
		if m.ID != b.last {
			b.events = append(b.events, m)
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s %s: %s", method, params, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
		return
	}
}

func (b *browser) read() message {
	b.t.Helper()
	if err := b.pipe.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		b.t.Fatal(err)
	}
	text, err := b.out.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("reading from chromium: %v", err)
	}
	var m message
	if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
		b.t.Fatal(err)
	}
	return m
}

// open loads a page and waits for it.
func (b *browser) open(url string) {
	b.t.Helper()
	b.events = nil
	var to struct{ LoaderID, ErrorText string }
	b.call("Page.navigate", fmt.Sprintf(`{"url": %q}`, url), &to)
	if to.ErrorText != "" {
		b.t.Fatalf("%s: %s", url, to.ErrorText)
	}
	for !b.loaded(to.LoaderID) {
		b.events = append(b.events, b.read())
	}
}

func (b *browser) loaded(loader string) bool {
	return slices.ContainsFunc(b.events, func(e message) bool {
		var of struct{ LoaderID, Name string }
		return e.Method == "Page.lifecycleEvent" && json.Unmarshal(e.Params, &of) == nil && of.LoaderID == loader && of.Name == "load"
	})
}

// eval evaluates an expression in the page and returns its value as text.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	text, err := json.Marshal("Promise.resolve(" + expression + ").then(String)")
	if err != nil {
		b.t.Fatal(err)
	}
	var r struct {
		Result           struct{ Value string }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", fmt.Sprintf(`{"expression": %s, "awaitPromise": true, "returnByValue": true}`, text), &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	return r.Result.Value
}

// setViewport sets the page's width and color scheme.
func (b *browser) setViewport(width int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", fmt.Sprintf(`{"width": %d, "height": 844, "deviceScaleFactor": 1, "mobile": %t}`, width, width < 600), nil)
	b.call("Emulation.setEmulatedMedia", fmt.Sprintf(`{"features": [{"name": "prefers-color-scheme", "value": %q}]}`, scheme), nil)
}

// screenshot saves an image of the whole page: go test -artifacts says where.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	b.saveImage(filepath.Join(b.t.ArtifactDir(), name+".png"), `{"captureBeyondViewport": true}`)
}

// saveImage saves what Page.captureScreenshot gives for the parameters.
func (b *browser) saveImage(file, params string) {
	b.t.Helper()
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", params, &shot)
	image, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, image, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// consoleErrors returns what the browser logged: errors, and violations of the page's
// Content-Security-Policy.
func (b *browser) consoleErrors() []string {
	var list []string
	for _, e := range b.events {
		if e.Method == "Log.entryAdded" || e.Method == "Runtime.exceptionThrown" || e.Method == "Runtime.consoleAPICalled" {
			list = append(list, string(e.Params))
		}
	}
	return list
}

// refreshAndWait refreshes the page as if it became visible, and waits for something.
func (b *browser) refreshAndWait(condition string) {
	b.t.Helper()
	b.eval(`new Promise(done => {
		const look = () => (` + condition + `) && done();
		new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
		document.dispatchEvent(new Event("visibilitychange"));
	})`)
}
