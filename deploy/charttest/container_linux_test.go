package charttest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
)

// program builds the program as the Dockerfile does, once for all tests.
var program = sync.OnceValues(func() (string, error) {
	path, err := filepath.Abs(repository + "/.cache/charttest/reaper")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-tags", "timetzdata", "-o", path, "./cmd/reaper")
	cmd.Dir, cmd.Env = repository, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return path, nil
})

// secrets are those that the values name, by name and key.
type secrets map[string]map[string]string

// container is a pod's container as a process: its root holds the program and the
// mounted files and nothing else, it runs as the pod's user, and its environment
// is the pod's alone.
type container struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  bytes.Buffer // of stdout
	url  string       // where it serves
	done chan struct{}

	mu  sync.Mutex
	log bytes.Buffer // of stderr
}

// newContainer prepares a container of a pod that one of the objects makes.
func newContainer(t *testing.T, objects []object, pod string, known secrets) *container {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a process another root and user")
	}
	p, ok := pods(objects)[pod]
	if !ok {
		t.Fatalf("no %s", pod)
	}
	c, root := p.Spec.Containers[0], t.TempDir()
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	entry := entrypoint(t)
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil { // another user has to get in
		t.Fatal(err)
	}
	putProgram(t, filepath.Join(root, entry), read(t, binary))
	mount(t, root, p.Spec, objects, known)
	uid := uint32(*p.Spec.SecurityContext.RunAsUser)
	cmd := exec.CommandContext(t.Context(), entry, c.Args...)
	cmd.Dir, cmd.Env = "/", environment(t, c, known)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: uint32(*p.Spec.SecurityContext.RunAsGroup)}, Pdeathsig: syscall.SIGKILL,
	}
	r := &container{t: t, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout = &r.out
	return r
}

// putProgram puts a program. No process of another test is forked meanwhile: it would have the file
// open for writing for a moment, and the program could not be executed ("text file busy").
func putProgram(t *testing.T, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	put(t, path, text, 0o755)
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// mount writes what the pod's volumes hold to where the container has them.
func mount(t *testing.T, root string, spec core.PodSpec, objects []object, known secrets) {
	t.Helper()
	for _, m := range spec.Containers[0].VolumeMounts {
		for _, v := range spec.Volumes {
			if v.Name != m.Name {
				continue
			}
			files := map[string]string{}
			switch {
			case v.Secret != nil:
				files = known[v.Secret.SecretName]
			case v.ConfigMap != nil:
				files = one[core.ConfigMap](t, objects, v.ConfigMap.Name).Data
			}
			for name, text := range files {
				put(t, filepath.Join(root, m.MountPath, name), text, 0o444)
			}
		}
	}
}

// environment is what Kubernetes would make of the container's. One thing is
// another: the port, since here all containers share the machine's.
func environment(t *testing.T, c core.Container, known secrets) []string {
	t.Helper()
	var env []string
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			ref := e.ValueFrom.SecretKeyRef
			var ok bool
			if value, ok = known[ref.Name][ref.Key]; !ok {
				t.Fatalf("%s: no key %s in a Secret %s", e.Name, ref.Key, ref.Name)
			}
		}
		if e.Name == "REAPER_LISTEN_ADDR" {
			value = "127.0.0.1:0"
		}
		env = append(env, e.Name+"="+value)
	}
	return env
}

// start starts it.
func (c *container) start() {
	c.t.Helper()
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go c.read(stderr)
	c.t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.done
		_ = c.cmd.Wait()
		if c.t.Failed() {
			c.t.Logf("%s %q:\n%s%s", c.cmd.Path, c.cmd.Args[1:], &c.out, c.text())
		}
	})
}

// read keeps the log, in the chart's format of it, JSON.
func (c *container) read(stderr io.Reader) {
	defer close(c.done)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		var line struct{ Msg, Addr string }
		err := json.Unmarshal(lines.Bytes(), &line)
		c.mu.Lock()
		fmt.Fprintln(&c.log, lines.Text())
		if err == nil && line.Msg == "serving" {
			c.url = "http://" + line.Addr
		}
		c.mu.Unlock()
	}
}

func (c *container) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// ends waits for its end, and gives the exit code.
func (c *container) ends(within time.Duration) int {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(within):
		c.t.Fatalf("it does not end within %s", within)
	}
	_ = c.cmd.Wait() // the code says it
	return c.cmd.ProcessState.ExitCode()
}

// get asks for a path; code 0: no answer.
func (c *container) get(path string) (code int, body string) {
	c.t.Helper()
	c.mu.Lock()
	url := c.url
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}

// await waits until something holds.
func (c *container) await(what string, holds func() bool) {
	c.t.Helper()
	for end := time.Now().Add(3 * time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			c.explain()
			c.t.Fatalf("not within three minutes: %s", what)
		}
	}
}

// explain logs what the container says of itself, and what each of its goroutines waits for.
func (c *container) explain() {
	c.t.Helper()
	_, status := c.get("/api/status")
	_, text := c.get("/metrics")
	var own strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "reaper_") {
			own.WriteString(line)
		}
	}
	c.t.Logf("/api/status: %s\n/metrics:\n%s", status, own.String())
	_ = c.cmd.Process.Signal(syscall.SIGQUIT) // Go prints the stacks to stderr, which the log has
	time.Sleep(time.Second)
}

func (c *container) shows(metric string) func() bool {
	return func() bool { _, text := c.get("/metrics"); return strings.Contains(text, "\n"+metric+"\n") }
}

// monitor is a cron monitor that notes the pings it gets.
type monitor struct {
	url   string
	mu    sync.Mutex
	pings []string
}

const monitorPath = "/ping/0b7b2f0a-92b0-4d3c-9d0b-4a0f3a1f2b3c"

func newMonitor(t *testing.T) *monitor {
	m := &monitor{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.pings = append(m.pings, strings.TrimPrefix(r.URL.Path, monitorPath))
	}))
	t.Cleanup(server.Close)
	m.url = server.URL + monitorPath
	return m
}

func (m *monitor) got() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.pings)
}
