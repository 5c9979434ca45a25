package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PoolStats are the numbers of a connection pool.
type PoolStats struct {
	Acquired int64 // connections that are in use
	Idle     int64
	Total    int64 // acquired, idle, and being made
	Max      int64

	Acquires    int64         // so far
	AcquireWait time.Duration // spent in them, all together
	Canceled    int64         // acquires that were given up
}

// Pool is a collector of a pool's numbers. read is called on every scrape and
// must answer at once, with the database down too. One process registers one.
func Pool(read func() PoolStats) prometheus.Collector { return pool(read) }

type pool func() PoolStats

var (
	poolAcquired = prometheus.NewDesc("reaper_pool_acquired_connections", "Connections in use.", nil, nil)
	poolIdle     = prometheus.NewDesc("reaper_pool_idle_connections", "Connections that wait for work.", nil, nil)
	poolTotal    = prometheus.NewDesc("reaper_pool_connections", "Connections: in use, idle, and being made.", nil, nil)
	poolMax      = prometheus.NewDesc("reaper_pool_max_connections", "The most connections that the pool makes.", nil, nil)
	poolAcquires = prometheus.NewDesc("reaper_pool_acquires_total", "How often a connection was asked for and given.", nil, nil)
	poolWait     = prometheus.NewDesc("reaper_pool_acquire_wait_seconds_total", "Time spent until a connection was given.", nil, nil)
	poolCanceled = prometheus.NewDesc("reaper_pool_canceled_acquires_total", "How often a connection was asked for and no longer waited for.", nil, nil)
)

// Describe implements prometheus.Collector.
func (pool) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolAcquired, poolIdle, poolTotal, poolMax, poolAcquires, poolWait, poolCanceled} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (read pool) Collect(ch chan<- prometheus.Metric) {
	s := read()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(d, kind, v)
	}
	send(poolAcquired, prometheus.GaugeValue, float64(s.Acquired))
	send(poolIdle, prometheus.GaugeValue, float64(s.Idle))
	send(poolTotal, prometheus.GaugeValue, float64(s.Total))
	send(poolMax, prometheus.GaugeValue, float64(s.Max))
	send(poolAcquires, prometheus.CounterValue, float64(s.Acquires))
	send(poolWait, prometheus.CounterValue, s.AcquireWait.Seconds())
	send(poolCanceled, prometheus.CounterValue, float64(s.Canceled))
}
