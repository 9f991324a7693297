// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/report"
	"github.com/skott-dev/skott/internal/status"
)

const (
	// centralIdle is how often it is looked whether something else was found, centralAgain how
	// often reports are put right that somebody changed.
	centralIdle  = 2 * time.Second
	centralAgain = 10 * time.Minute
	// centralRetry after a failure, such as an Ops Cluster that serves no reports.
	centralRetry = 30 * time.Second
	// centralTimeout of every request.
	centralTimeout = 10 * time.Second
)

// central keeps the reports of the clusters whose ManagementCluster wants them in the Ops
// Cluster.
type central struct {
	hub       *hub
	discovery discovery.DiscoveryInterface
	reports   fleet.Reports

	// What was written last, and when.
	scans map[string]*status.Scan
	keep  map[string]bool
	at    time.Time
	retry time.Time
}

func setupCentral(mgr manager.Manager, h *hub) error {
	found, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("cannot write reports: %w", err)
	}
	objects, err := dynamic.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("cannot write reports: %w", err)
	}
	return mgr.Add(&central{hub: h, discovery: found, reports: fleet.Reports{Client: objects, Timeout: centralTimeout}})
}

// Start implements manager.Runnable.
func (c *central) Start(ctx context.Context) error {
	ticks := time.NewTicker(centralIdle)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		if time.Now().Before(c.retry) {
			continue
		}
		if err := c.pass(ctx); err != nil && ctx.Err() == nil {
			ctrllog.FromContext(ctx).Info("Failing to write reports into the Ops Cluster", "error", err.Error())
			c.at, c.retry = time.Time{}, time.Now().Add(centralRetry)
		}
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (c *central) NeedLeaderElection() bool { return true }

// pass writes reports if anything else was found than is written.
func (c *central) pass(ctx context.Context) error {
	list := &skottv1.ManagementClusterList{}
	if err := c.hub.List(ctx, list); err != nil {
		return fmt.Errorf("cannot list ManagementClusters: %w", err)
	}
	wanted := map[string]bool{}
	for i := range list.Items {
		wanted[list.Items[i].Name] = reportPlace(&list.Items[i]) == skottv1.ReportsInHub
	}
	scans, keep := reported(wanted, c.hub.members())
	same := maps.Equal(scans, c.scans) && maps.Equal(keep, c.keep)
	if time.Since(c.at) < centralAgain && same || !c.at.IsZero() && same && len(scans)+len(keep) == 0 {
		return nil
	}
	served, err := c.discovery.ServerGroups()
	if err != nil {
		return fmt.Errorf("cannot look which reports are served: %w", err)
	}
	var groups []string
	for _, api := range report.APIs {
		for _, g := range served.Groups {
			if g.Name == api.Group {
				groups = append(groups, g.Name)
			}
		}
	}
	findings := map[string][]status.Finding{}
	for key, scan := range scans {
		findings[key] = scan.Findings
	}
	unknown := func(cluster string) bool {
		name, _, _ := strings.Cut(cluster, "/")
		return keep[name+"/"] || keep[cluster]
	}
	if err := c.reports.Central(ctx, groups, c.hub.options.Namespace, findings, unknown); err != nil {
		return err
	}
	c.keep, c.scans, c.at = keep, scans, time.Now()
	if len(groups) == 0 && len(scans) > 0 {
		return fmt.Errorf("the Ops Cluster serves neither %s nor %s", report.OpenReports.Group, report.PolicyReports.Group)
	}
	return nil
}

// reported is what was found in the clusters whose reports belong into the Ops Cluster, by
// key, and which keep the reports that there are: clusters that were not scanned yet, and with
// a "/" behind their name ManagementClusters whose clusters are not all known.
func reported(wanted map[string]bool, members map[string]status.Member) (scans map[string]*status.Scan, keep map[string]bool) {
	scans, keep = map[string]*status.Scan{}, map[string]bool{}
	for name, wants := range wanted {
		m, engaged := members[name]
		if !wants {
			continue
		}
		if !engaged {
			keep[name], keep[name+"/"] = true, true
			continue
		}
		if !m.ClustersListed {
			keep[name+"/"] = true
		}
		for _, one := range append([]status.Cluster{m.Self}, m.Clusters...) {
			switch {
			case one.GuardedAs != "": // it is reported under the other name
			case one.Scan != nil:
				scans[one.Key()] = one.Scan
			default:
				keep[one.Key()] = true
			}
		}
	}
	return scans, keep
}

// reportPlace is where reports of a ManagementCluster are written.
func reportPlace(mc *skottv1.ManagementCluster) skottv1.ReportPlace {
	if mc.Spec.Scan == nil || mc.Spec.Scan.Reports == "" {
		return skottv1.ReportsInCluster
	}
	return mc.Spec.Scan.Reports
}
