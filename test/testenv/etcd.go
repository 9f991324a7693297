// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// Etcd is one etcd with one member. Its ports and data survive Stop and Start.
type Etcd struct {
	process *process
	url     string
	data    string
}

// NewEtcd runs an etcd beside the one that every environment has, for servers that name it in their Options. name is
// unique in the environment.
func (e *Env) NewEtcd(ctx context.Context, name string, flags ...string) (*Etcd, error) {
	d, err := e.startEtcd(ctx, "etcd-"+name, flags...)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.etcds = append(e.etcds, d)
	return d, nil
}

// Etcd is the one that every server uses that names no other.
func (e *Env) Etcd() *Etcd { return e.etcd }

func (e *Env) startEtcd(ctx context.Context, name string, flags ...string) (*Etcd, error) {
	client, err := freePort()
	if err != nil {
		return nil, err
	}
	peer, err := freePort()
	if err != nil {
		return nil, err
	}
	d := &Etcd{data: filepath.Join(e.dir, name), url: fmt.Sprintf("http://%s:%d", loopback, client)}
	// Data of an earlier environment would name its ports and authorities, so it is of no use to this one.
	if _, err := os.Stat(d.data); err == nil {
		return nil, fmt.Errorf("cannot start %s: %q holds an earlier environment: end it with StopAll, then remove it", name, e.dir)
	}
	if err := os.MkdirAll(d.data, 0o700); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	peerURL := fmt.Sprintf("http://%s:%d", loopback, peer)
	d.process = e.newProcess(name, e.Binaries.Etcd, append([]string{
		"--name=testenv",
		"--data-dir=" + d.data,
		"--listen-client-urls=" + d.url,
		"--advertise-client-urls=" + d.url,
		"--listen-peer-urls=" + peerURL,
		"--initial-advertise-peer-urls=" + peerURL,
		"--initial-cluster=testenv=" + peerURL,
		"--unsafe-no-fsync=true",           // the data need not outlive the machine
		"--quota-backend-bytes=4294967296", // large fleets share this etcd
		"--log-level=warn",
	}, flags...)...)
	return d, d.Start(ctx)
}

// Start runs a stopped etcd again, and waits until it serves.
func (d *Etcd) Start(ctx context.Context) error {
	return d.process.startReady(ctx, func(ctx context.Context) error {
		return healthy(ctx, http.DefaultClient, d.url+"/health")
	})
}

// Stop kills it, as a crash would.
func (d *Etcd) Stop() error { return d.process.stop() }

// URL is the address for clients; it also answers JSON there.
func (d *Etcd) URL() string { return d.url }

// Data is the directory of its data.
func (d *Etcd) Data() string { return d.data }
