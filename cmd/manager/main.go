// SPDX-License-Identifier: Apache-2.0

// Command manager runs the operator of Skott in the Ops Cluster, as "manager guard" the guard
// webhook of one cluster, and as "manager audit" what follows the audit log of one.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/controller"
	skottmetrics "github.com/skott-dev/skott/internal/metrics"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) > 1 && os.Args[1] == guardMode {
		return runGuard(os.Args[2:])
	}
	if len(os.Args) > 1 && os.Args[1] == auditMode {
		return runAudit(os.Args[2:])
	}
	var (
		options        controller.Options
		leaderElect    bool
		metricsAddress string
		probeAddress   string
		profileAddress string
	)
	flag.StringVar(&options.Namespace, "namespace", "skott-system", "Namespace of the operator, and of its accounts in every guarded cluster.")
	flag.StringVar(&options.ArgoCDNamespace, "argocd-namespace", "argocd", "Namespace of Argo CD's cluster Secrets, which are labelled like the Clusters they point to; empty for none.")
	flag.StringVar(&options.Selector, "management-cluster-selector", "", "Label selector of the ManagementClusters that this instance connects to; empty for all.")
	flag.DurationVar(&options.BoundaryGrace, "boundary-grace", 5*time.Minute, "How long a deleted DataBoundary keeps acting.")
	flag.DurationVar(&options.Retention, "retention", 180*24*time.Hour, "How long a learned address stays after it was last seen.")
	flag.DurationVar(&options.CanaryInterval, "canary-interval", time.Minute, "Time between two live proofs of a cluster in which nothing changed.")
	flag.DurationVar(&options.ProbeInterval, "probe-interval", 10*time.Second, "Time between two looks whether a Management Cluster answers.")
	flag.DurationVar(&options.SurveyInterval, "survey-interval", 5*time.Minute, "Time between two looks at the security measures of a cluster, which are compared with production's.")
	flag.DurationVar(&options.ScanInterval, "scan-interval", 10*time.Minute, "Time between two rounds over all that a cluster holds, in search of what was there before the guard, when no rule and no address changes.")
	flag.StringVar(&options.GuardImage, "guard-image", "", "Image of the guard webhook, usually that of the operator, which is deployed into every guarded cluster unless its ManagementCluster says otherwise; empty for none.")
	flag.StringVar(&options.AuditAddress, "audit-bind-address", "0", "Address to take audit events of guarded clusters on; 0 for none.")
	flag.StringVar(&options.AuditCertificates, "audit-cert-dir", "/etc/skott/audit", "Folder with the tls.crt and tls.key of that address, which are read again when they change.")
	flag.StringVar(&options.DecisionLog, "decision-log", "", "File that denials are written to, as JSON lines; empty for none.")
	flag.Int64Var(&options.DecisionLogSize, "decision-log-size", 64<<20, "Bytes at which the decision log becomes FILE.1 and another is begun.")
	flag.BoolVar(&leaderElect, "leader-elect", false, "Let only one of several replicas work.")
	flag.StringVar(&metricsAddress, "metrics-bind-address", ":8080", "Address of the metrics; 0 for none.")
	flag.StringVar(&probeAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz; 0 for none.")
	flag.StringVar(&profileAddress, "pprof-bind-address", "", "Address of Go's profiles, for loopback only; empty for none.")
	log := zap.Options{}
	log.BindFlags(flag.CommandLine)
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&log)))

	config := ctrl.GetConfigOrDie()
	// A cluster that is new brings thousands of addresses, which few writers write at a time.
	config.QPS, config.Burst = 500, 1000
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme(),
		Metrics:                       server.Options{BindAddress: metricsAddress},
		HealthProbeBindAddress:        probeAddress,
		PprofBindAddress:              profileAddress,
		LeaderElection:                leaderElect,
		LeaderElectionID:              "skott.dev",
		LeaderElectionNamespace:       options.Namespace,
		LeaderElectionReleaseOnCancel: true,
		// Secrets are watched by metadata, in the operator's own namespace only.
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{options.Namespace: {}}},
		}},
	})
	if err != nil {
		return fmt.Errorf("cannot create the manager: %w", err)
	}
	if err := controller.Setup(mgr, options, skottmetrics.New(metrics.Registry)); err != nil {
		return fmt.Errorf("cannot set up the controllers: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	return mgr.Start(ctrl.SetupSignalHandler())
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(skottv1.AddToScheme(s))
	return s
}
