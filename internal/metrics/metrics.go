// SPDX-License-Identifier: Apache-2.0

// Package metrics names every metric of Skott, in one place. It knows how to count, not
// what to.
package metrics

import (
	"strconv"
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
	phases    *prometheus.GaugeVec
	gaps      *prometheus.GaugeVec
	webhooks  *prometheus.GaugeVec
	denials   *prometheus.CounterVec
	requests  *prometheus.CounterVec
	age       *ages
	book      *ages
	heard     *ages

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
		phases: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skott_cluster_phase", Help: "1 for the phase that the guard of a cluster is in, by cluster and Environment."},
			[]string{"cluster", "environment", "phase"}),
		gaps: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skott_learning_gaps", Help: "Kinds of a cluster that addresses cannot be learned from."}, []string{"cluster"}),
		webhooks: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skott_webhook_acts", Help: "1 if the guard webhook of a cluster refused its last live proof, 0 if not; none where there is to be none."}, []string{"cluster"}),
		age: newAges("skott_policy_age_seconds", "Seconds since the guard of a cluster was last proved, by cluster."),
		book: newAges("skott_address_book_age_seconds",
			"Seconds since the address book last held all that a cluster uses, 0 while it does; since it was first looked for if it never did."),
		denials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skott_denials_total", Help: "Requests that guarded API servers refused, as their audit events say, by cluster, boundary and code."},
			[]string{"cluster", "boundary", "code"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skott_audit_requests_total", Help: "Requests with audit events, by the status of HTTP that they were answered with."}, []string{"status"}),
		heard: newAges("skott_audit_age_seconds", "Seconds since denials of a cluster, those of live proofs too, were last received, by cluster."),
		violations: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skott_violations", Help: "Objects that are there and cross a boundary, by the Environment that they are in; draft is true for those that only its draft finds."},
			[]string{"boundary", "environment", "cluster", "draft"}),
		scanned: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skott_scan_objects", Help: "Objects that the last round of the scan judged, by cluster."}, []string{"cluster"}),
		scanAge: newAges("skott_scan_age_seconds", "Seconds since the last complete round of the scan, by cluster."),
	}
	r.MustRegister(m.decisions, m.duration, m.errors, m.addresses, m.clusters, m.restored, m.admitted, m.phases, m.gaps, m.webhooks, m.denials, m.requests, m.age, m.book, m.heard,
		m.violations, m.scanned, m.scanAge)
	for _, fatal := range []string{"true", "false"} {
		m.errors.WithLabelValues(fatal) // so that the first error is an increase
	}
	return m
}

// Decision counts one decision and the time it took.
func (m *Recorder) Decision(path, decision, reason string, took time.Duration) {
	m.decisions.WithLabelValues(path, decision, reason).Inc()
	m.duration.WithLabelValues(path).Observe(took.Seconds())
}

// Error counts an error; a fatal one left a cluster as it was.
func (m *Recorder) Error(fatal bool) {
	m.errors.WithLabelValues(strconv.FormatBool(fatal)).Inc()
}

// Restored counts an object that was put back.
func (m *Recorder) Restored(kind string) { m.restored.WithLabelValues(kind).Inc() }

// CanaryAdmitted counts a canary that was let through.
func (m *Recorder) CanaryAdmitted(family string) { m.admitted.WithLabelValues(family).Inc() }

// Denial counts a request that a cluster refused.
func (m *Recorder) Denial(cluster, boundary, code string) {
	m.denials.WithLabelValues(cluster, boundary, code).Inc()
}

// AuditRequest counts a request with audit events by the status that it was answered with.
func (m *Recorder) AuditRequest(status int) {
	m.requests.WithLabelValues(strconv.Itoa(status)).Inc()
}

// Heard replaces when denials of clusters were received last.
func (m *Recorder) Heard(last map[string]time.Time) { m.heard.set(last) }

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

// Cluster is what is counted of a guarded cluster.
type Cluster struct {
	Name, Environment string
	// Phase of its guard, and whether that is proved of what is wanted now.
	Phase    string
	Enforced bool
	Proved   time.Time
	// Learns: addresses are learned from it. Complete: from everything in it, and it answers. Gaps
	// are the kinds that they cannot be learned from.
	Learns, Complete bool
	Gaps             int
	// Webhook: it is to have one. WebhookActs: that refused its last live proof.
	Webhook, WebhookActs bool
}

// Clusters replaces what is said of guarded clusters. One that is not named any more has no value.
func (m *Recorder) Clusters(clusters []Cluster) {
	for _, gauge := range []*prometheus.GaugeVec{m.clusters, m.phases, m.gaps, m.webhooks} {
		gauge.Reset()
	}
	proved, complete := map[string]time.Time{}, map[string]time.Time{}
	for _, c := range clusters {
		m.clusters.WithLabelValues(c.Environment, strconv.FormatBool(c.Enforced)).Inc()
		m.phases.WithLabelValues(c.Name, c.Environment, c.Phase).Set(1)
		if !c.Proved.IsZero() {
			proved[c.Name] = c.Proved
		}
		if c.Learns {
			m.gaps.WithLabelValues(c.Name).Set(float64(c.Gaps))
			complete[c.Name] = m.book.since(c.Name, c.Complete)
		}
		if c.Webhook {
			m.webhooks.WithLabelValues(c.Name).Set(map[bool]float64{true: 1}[c.WebhookActs])
		}
	}
	m.age.set(proved)
	m.book.set(complete)
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
			m.violations.WithLabelValues(v.Boundary, v.Environment, s.Cluster, strconv.FormatBool(v.Draft)).Add(float64(v.Objects))
		}
	}
	m.scanAge.set(completed)
}

// ages computes ages when it is asked for them, so that one grows while nothing happens.
type ages struct {
	desc *prometheus.Desc
	now  func() time.Time

	mu sync.Mutex
	// from is when the age of a cluster was 0; the zero time if it still is.
	from map[string]time.Time
}

func newAges(name, help string) *ages {
	return &ages{desc: prometheus.NewDesc(name, help, []string{"cluster"}, nil), from: map[string]time.Time{}, now: time.Now}
}

func (a *ages) set(from map[string]time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.from = from
}

// since is from when the age of a cluster is to be counted: not at all while it is young, and
// otherwise from when it was last seen young, or seen at all.
func (a *ages) since(cluster string, young bool) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if young {
		return time.Time{}
	}
	if from, ok := a.from[cluster]; ok && !from.IsZero() {
		return from
	}
	return a.now()
}

// Describe implements prometheus.Collector.
func (a *ages) Describe(ch chan<- *prometheus.Desc) { ch <- a.desc }

// Collect implements prometheus.Collector.
func (a *ages) Collect(ch chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for cluster, from := range a.from {
		age := 0.0
		if !from.IsZero() {
			age = a.now().Sub(from).Seconds()
		}
		ch <- prometheus.MustNewConstMetric(a.desc, prometheus.GaugeValue, age, cluster)
	}
}
