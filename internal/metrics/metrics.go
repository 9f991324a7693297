// SPDX-License-Identifier: Apache-2.0

// Package metrics names every metric of Skott, in one place. It knows how to count, not
// what to.
package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Recorder counts. Its methods may be called from many goroutines.
type Recorder struct {
	decisions *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	errors    *prometheus.CounterVec
	addresses *prometheus.GaugeVec
	clusters  *prometheus.GaugeVec
	restored  *prometheus.CounterVec
	admitted  *prometheus.CounterVec
	age       *ages

	violations *prometheus.GaugeVec
	scanned    *prometheus.GaugeVec
	scanAge    *ages
}

// New returns a Recorder whose metrics are registered with r.
func New(r prometheus.Registerer) *Recorder {
	m := &Recorder{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skott_decisions_total", Help: "Decisions that Skott saw being made, by path (canary), decision and reason."},
			[]string{"path", "decision", "reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "skott_decision_duration_seconds", Help: "Time from a request to its decision, by path.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"path"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skott_errors_total", Help: "Errors that kept Skott from its work; fatal ones leave a cluster as it was."}, []string{"fatal"}),
		addresses: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skott_addresses", Help: "Addresses in the book, by type and by how Skott came to know them."}, []string{"kind", "origin"}),
		clusters: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skott_clusters", Help: "Guarded clusters, by Environment and by whether the last live proof was denied everywhere."},
			[]string{"environment", "enforced"}),
		restored: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skott_restored_total", Help: "Objects of Skott that somebody changed or deleted, and that were put back."}, []string{"kind"}),
		admitted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skott_canary_admitted_total", Help: "Canaries that an API server let through. Any increase is an alarm."}, []string{"family"}),
		age: &ages{desc: prometheus.NewDesc("skott_policy_age_seconds",
			"Seconds since the guard of a cluster was last proved, by cluster.", []string{"cluster"}, nil), since: map[string]time.Time{}, now: time.Now},
		violations: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skott_violations", Help: "Objects that are there and cross a boundary, by the Environment that they are in; draft is true for those that only its draft finds."},
			[]string{"boundary", "environment", "cluster", "draft"}),
		scanned: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skott_scan_objects", Help: "Objects that the last round of the scan judged, by cluster."}, []string{"cluster"}),
		scanAge: &ages{desc: prometheus.NewDesc("skott_scan_age_seconds",
			"Seconds since the last complete round of the scan, by cluster.", []string{"cluster"}, nil), since: map[string]time.Time{}, now: time.Now},
	}
	r.MustRegister(m.decisions, m.duration, m.errors, m.addresses, m.clusters, m.restored, m.admitted, m.age, m.violations, m.scanned, m.scanAge)
	return m
}

// Decision counts one decision and the time it took.
func (m *Recorder) Decision(path, decision, reason string, took time.Duration) {
	m.decisions.WithLabelValues(path, decision, reason).Inc()
	m.duration.WithLabelValues(path).Observe(took.Seconds())
}

// Error counts an error; a fatal one left a cluster as it was.
func (m *Recorder) Error(fatal bool) {
	m.errors.WithLabelValues(map[bool]string{true: "true", false: "false"}[fatal]).Inc()
}

// Restored counts an object that was put back.
func (m *Recorder) Restored(kind string) { m.restored.WithLabelValues(kind).Inc() }

// CanaryAdmitted counts a canary that was let through.
func (m *Recorder) CanaryAdmitted(family string) { m.admitted.WithLabelValues(family).Inc() }

// AddressCount is how many addresses of a kind the book has from an origin.
type AddressCount struct {
	Kind, Origin string
	Count        int
}

// Addresses replaces the numbers of addresses.
func (m *Recorder) Addresses(counts []AddressCount) {
	m.addresses.Reset()
	for _, c := range counts {
		m.addresses.WithLabelValues(c.Kind, c.Origin).Set(float64(c.Count))
	}
}

// ClusterProof is when the guard of a cluster was last proved.
type ClusterProof struct {
	Cluster, Environment string
	Enforced             bool
	Proved               time.Time
}

// Clusters replaces the numbers of guarded clusters and the ages of their proofs.
func (m *Recorder) Clusters(proofs []ClusterProof) {
	m.clusters.Reset()
	proved := map[string]time.Time{}
	for _, p := range proofs {
		m.clusters.WithLabelValues(p.Environment, map[bool]string{true: "true", false: "false"}[p.Enforced]).Inc()
		if !p.Proved.IsZero() {
			proved[p.Cluster] = p.Proved
		}
	}
	m.age.set(proved)
}

// ScanCount is what the scan of a cluster found, and when it was last complete.
type ScanCount struct {
	Cluster    string
	Completed  time.Time
	Objects    int
	Violations []ViolationCount
}

// ViolationCount is how many objects cross.
type ViolationCount struct {
	Boundary, Environment string
	Draft                 bool
	Objects               int
}

// Scans replaces what the scans found and their ages.
func (m *Recorder) Scans(scans []ScanCount) {
	m.violations.Reset()
	m.scanned.Reset()
	completed := map[string]time.Time{}
	for _, s := range scans {
		m.scanned.WithLabelValues(s.Cluster).Set(float64(s.Objects))
		if !s.Completed.IsZero() {
			completed[s.Cluster] = s.Completed
		}
		for _, v := range s.Violations {
			draft := map[bool]string{true: "true", false: "false"}[v.Draft]
			m.violations.WithLabelValues(v.Boundary, v.Environment, s.Cluster, draft).Add(float64(v.Objects))
		}
	}
	m.scanAge.set(completed)
}

// ages computes an age when it is asked for, so that it grows while nothing happens.
type ages struct {
	desc *prometheus.Desc
	now  func() time.Time

	mu    sync.Mutex
	since map[string]time.Time
}

func (a *ages) set(since map[string]time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since = since
}

// Describe implements prometheus.Collector.
func (a *ages) Describe(ch chan<- *prometheus.Desc) { ch <- a.desc }

// Collect implements prometheus.Collector.
func (a *ages) Collect(ch chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for cluster, since := range a.since {
		ch <- prometheus.MustNewConstMetric(a.desc, prometheus.GaugeValue, a.now().Sub(since).Seconds(), cluster)
	}
}
