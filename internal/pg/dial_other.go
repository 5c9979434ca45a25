//go:build !linux

package pg

import (
	"net"
	"time"
)

// dialer makes connections that notice that nobody is there any more.
func dialer() *net.Dialer {
	return &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
}
