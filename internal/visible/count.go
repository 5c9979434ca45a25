package visible

import (
	"fmt"
)

// Count is "1 tenant", "2 tenants".
func Count(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
