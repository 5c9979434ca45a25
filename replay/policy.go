package main

import (
	_ "embed"
	"fmt"
	"strings"
	"time"
)

//go:embed policy.yaml
var policyTemplate string

// maxPause is the max_pause of the policy file.
const maxPause = 5 * time.Second

// The thresholds for retained WAL and for WAL that a replica has not replayed, as shares of
// the free space. They trigger before the storage guard, so that the cause is reported and
// not just the full volume.
const (
	slowShare  = 0.15
	pauseShare = 0.3
)

// policyFile returns the policy file of all scenarios, adapted to their sizes.
func (r room) policyFile() string {
	megabytes := func(bytes int64) string { return fmt.Sprintf("%dMB", max(bytes>>20, 1)) }
	left := float64(r.left)
	return strings.NewReplacer(
		"{{max_pause}}", maxPause.String(),
		"{{limit}}", megabytes(r.limit),
		"{{keep}}", mib(r.keep),
		"{{slow}}", megabytes(int64(slowShare*left)),
		"{{pause}}", megabytes(int64(pauseShare*left)),
	).Replace(policyTemplate)
}
