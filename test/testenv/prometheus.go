// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Prometheus is a Prometheus that scrapes and evaluates rules every second, run as a process.
type Prometheus struct {
	process *process
	port    int
}

// Program is the path of a program beside those of Find, which not every suite needs.
func Program(name string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	path := findIn([]string{filepath.Join(root, "bin")}, name)
	if path == "" {
		return "", fmt.Errorf("%s is not in bin/: run \"make tools\"", name)
	}
	return path, nil
}

// StartPrometheus runs a Prometheus with its files under dir, which scrapes the pages of metrics at
// some URLs and works by a file of rules. The caller must call Stop.
func StartPrometheus(ctx context.Context, dir, rules string, pages ...string) (*Prometheus, error) {
	binary, err := Program("prometheus")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "prometheus.yml")
	targets := make([]string, len(pages))
	for i, page := range pages {
		targets[i] = strconv.Quote(strings.TrimSuffix(strings.TrimPrefix(page, "http://"), "/metrics"))
	}
	content := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\n"+
		"scrape_configs:\n- job_name: skott\n  static_configs: [{targets: [%s]}]\n", rules, strings.Join(targets, ", "))
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		return nil, fmt.Errorf("cannot configure Prometheus: %w", err)
	}
	p := &Prometheus{port: port, process: (&Env{dir: dir}).newProcess("prometheus", binary,
		"--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "prometheus"),
		fmt.Sprintf("--web.listen-address=%s:%d", loopback, port))}
	return p, p.process.startReady(ctx, func(ctx context.Context) error {
		return healthy(ctx, http.DefaultClient, p.URL()+"/-/ready")
	})
}

// URL is where Prometheus serves.
func (p *Prometheus) URL() string { return fmt.Sprintf("http://%s:%d", loopback, p.port) }

// Stop ends Prometheus.
func (p *Prometheus) Stop() error {
	if p == nil {
		return errors.New("cannot stop Prometheus: it was not started")
	}
	return p.process.stop()
}
