package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"
)

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// watchPeak follows a process's peak memory. The figure that the system reports at the end is
// never below the peak of the parent process, which is us.
func watchPeak(pid int) (stop func() int64) {
	var peak int64
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if m := highWater.FindSubmatch(status); m != nil {
				if kb, err := strconv.ParseInt(string(m[1]), 10, 64); err == nil {
					peak = max(peak, kb*1024)
				}
			}
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 {
		close(ended)
		<-done
		return peak
	}
}
