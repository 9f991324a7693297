// Package testenv runs real Kubernetes control planes for tests, benchmarks and the demo: one etcd, any number of
// kube-apiservers that share it under separate prefixes, and the Cluster API core manager, all as child processes that
// listen on loopback only. It owns their ports, certificates, files and lifetimes, and it installs upstream CRDs read
// from Go modules. Of Skott it knows the kinds, how they are written down, and the programs, but nothing of what they
// decide; and it depends neither on testing.T nor on Ginkgo, so the same code serves suites, benchmarks and programs. A
// missing binary is an error, never a skip. It runs on Linux only.
package testenv
