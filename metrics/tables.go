package metrics

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Table is the size of a table. Below zero is not known.
type Table struct {
	Name     string // schema.table
	Bytes    int64  // with its indexes and TOAST
	DeadRows int64  // as PostgreSQL estimates them
}

// SetTables gives the sizes of the tables that policies touch, all of them:
// tables that are not among them lose their series. A name counts once.
func (m *Metrics) SetTables(list []Table) {
	once := map[string]bool{}
	kept := slices.DeleteFunc(slices.Clone(list), func(t Table) bool {
		seen := once[t.Name]
		once[t.Name] = true
		return seen
	})
	m.tables.mu.Lock()
	defer m.tables.mu.Unlock()
	m.tables.list = kept
}

// tables is a collector, so that a scrape sees one look at the tables and never
// half of two.
type tables struct {
	mu   sync.Mutex
	list []Table
}

var (
	tableSize = prometheus.NewDesc("reaper_table_size_bytes", "Size of the table on disk, with its indexes and TOAST.", []string{"table"}, nil)
	tableDead = prometheus.NewDesc("reaper_table_dead_rows", "Dead rows of the table, as PostgreSQL estimates them.", []string{"table"}, nil)
)

// Describe implements prometheus.Collector.
func (*tables) Describe(ch chan<- *prometheus.Desc) {
	ch <- tableSize
	ch <- tableDead
}

// Collect implements prometheus.Collector.
func (t *tables) Collect(ch chan<- prometheus.Metric) {
	t.mu.Lock()
	list := t.list
	t.mu.Unlock()
	for _, x := range list {
		for desc, n := range map[*prometheus.Desc]int64{tableSize: x.Bytes, tableDead: x.DeadRows} {
			if n >= 0 {
				ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), x.Name)
			}
		}
	}
}
