package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	neturl "net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/web"
)

// healthLimit is more than /health ever says of a policy file that a person can read.
const healthLimit = 1 << 20

func (a *app) healthcheckCommand() *cobra.Command {
	var timeout time.Duration
	path := web.PathProcess
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Ask the daemon of this container how it is", Args: noArgs,
		Long: `healthcheck asks the daemon that listens on REAPER_LISTEN_ADDR how it is, and
exits with 0 if it is well, else with 1: for the health check of a container, whose
image has no curl. It needs neither database nor policy file.

By default it asks /readyz/process, which says that the process works, with a valid
policy file. /readyz needs a database that answers too, and /health policies that are
neither late nor failing: a restart helps with none of these.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return a.healthcheck(ctx, path)
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.ListenAddr, "listen-addr", a.ListenAddr, "the address on which the daemon listens (REAPER_LISTEN_ADDR)")
	f.StringVar(&path, "path", path, "what to ask: /healthz, /readyz/process, /readyz or /health")
	f.DurationVar(&timeout, "timeout", 5*time.Second, "how long the answer may take")
	return cmd
}

func (a *app) healthcheck(ctx context.Context, path string) error {
	if !slices.Contains([]string{web.PathAlive, web.PathReady, web.PathProcess, web.PathHealth}, path) {
		return usage(fmt.Errorf("--path %q: write /healthz, /readyz/process, /readyz or /health", path))
	}
	address, err := ownAddress(a.ListenAddr)
	if err != nil {
		return usage(fmt.Errorf("--listen-addr %s: %w", a.ListenAddr, err))
	}
	err = askHealth(ctx, "http://"+address+path)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return failed(fmt.Errorf("nothing listens on %s: is the daemon (reaper run) up, and is this its --listen-addr?", address))
	}
	if err != nil {
		return failed(fmt.Errorf("asking %s%s: %w", address, path, err))
	}
	if a.json() {
		return a.printJSON(map[string]bool{"ok": true})
	}
	a.printf("%s: ok\n", path)
	return nil
}

// ownAddress is where this machine reaches what listens on an address.
func ownAddress(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", errors.New("write an address with a port, like :8080 or 127.0.0.1:8080")
	}
	if port == "" || port == "0" {
		return "", errors.New("it names no port, so nobody knows where the daemon listens")
	}
	switch ip := net.ParseIP(host); {
	case host == "" || ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}

// askHealth is an error unless the answer is 200; the error has the daemon's reasons.
func askHealth(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	// A proxy of the environment is for monitors, and not between this process and its neighbor.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if e, ok := errors.AsType[*neturl.Error](err); ok {
		return e.Err // without the URL, which the caller names
	}
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, healthLimit))
	if err != nil {
		return fmt.Errorf("%s: %w", answer.Status, err)
	}
	var body struct{ Reasons []string }
	if json.Unmarshal(text, &body) != nil || len(body.Reasons) == 0 { // whatever answers there is not reaper
		return errors.New(answer.Status)
	}
	return fmt.Errorf("%s: %s", answer.Status, strings.Join(body.Reasons, "; "))
}
