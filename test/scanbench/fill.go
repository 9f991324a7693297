// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// writers at the same time.
const writers = 24

// fill makes the namespaces and the pods, and returns how large a pod is as JSON.
func (b *bench) fill(ctx context.Context) (int, error) {
	config := b.cluster.Config()
	config.QPS, config.Burst = -1, 0
	config.ContentType = "application/vnd.kubernetes.protobuf"
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return 0, err
	}
	err = each(ctx, b.namespaces, func(ctx context.Context, i int) error {
		_, err := c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(i)}}, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return 0, err
	}
	every := max(b.pods/max(b.crossing, 1), 1)
	err = each(ctx, b.pods, func(ctx context.Context, i int) error {
		host := "orders.db.stage.example"
		if i%every == 0 && i/every < b.crossing {
			host = "orders.db.prod.example"
		}
		_, err := c.CoreV1().Pods(namespaceOf(i%b.namespaces)).Create(ctx, pod(i, host), metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return 0, err
	}
	one, err := c.CoreV1().Pods(namespaceOf(0)).Get(ctx, podName(0), metav1.GetOptions{})
	if err != nil {
		return 0, err
	}
	text, err := json.Marshal(one)
	return len(text), err
}

// each does n things, some at a time.
func each(ctx context.Context, n int, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

func namespaceOf(i int) string { return fmt.Sprintf("team-%04d", i) }

func podName(i int) string { return fmt.Sprintf("web-7c9e667974-%05d", i) }

// pod is like those of a platform: two containers, with two dozen environment values that name hosts of staging and of nobody.
func pod(i int, database string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: podName(i), Labels: map[string]string{
		"app.kubernetes.io/name": "web", "app.kubernetes.io/instance": "shop", "pod-template-hash": "7c9e667974"},
		Annotations: map[string]string{"prometheus.io/scrape": "true", "checksum/config": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}}
	for n, name := range []string{"web", "proxy"} {
		container := corev1.Container{Name: name, Image: fmt.Sprintf("registry.stage.example/shop/%s:1.%d", name, i%50),
			Ports: []corev1.ContainerPort{{Name: name, ContainerPort: int32(8080 + n)}}} //nolint:gosec // two ports
		for v := range 12 {
			container.Env = append(container.Env, corev1.EnvVar{Name: fmt.Sprintf("UPSTREAM_%d", v), Value: fmt.Sprintf("https://service-%d.apps.stage.example:8443/api/v%d", v, n)})
		}
		container.Env = append(container.Env, corev1.EnvVar{Name: "DATABASE", Value: "postgres://" + database + ":5432/orders"})
		p.Spec.Containers = append(p.Spec.Containers, container)
	}
	return p
}
