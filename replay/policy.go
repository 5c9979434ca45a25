package main

import (
	_ "embed"
	"fmt"
	"strings"
	"time"
)

//go:embed policy.yaml
var policyTemplate string

// maxPause is the longest pause that the policy file allows.
const maxPause = 5 * time.Second

// The shares of what is left on the volume at which WAL that must be kept, and WAL
// that a replica has not replayed, slow a purge down and pause it: before the storage
// does, so that the cause is told and not only that the volume fills.
const (
	slowShare  = 0.15
	pauseShare = 0.3
)

// policyFile is the one that all scenarios have, fit for their sizes.
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
