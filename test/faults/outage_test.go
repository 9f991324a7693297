// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// otherVersion builds the operator from the working tree with other words in every policy.
func otherVersion(ctx context.Context) (string, error) {
	root, err := testenv.Root()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "internal/policy/compile.go")
	content, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	changed := string(content)
	for _, words := range []string{`"crosses a DataBoundary of Skott`, `"refused by Skott`} {
		if !strings.Contains(changed, words) {
			return "", fmt.Errorf("%s does not hold %s any more", source, words)
		}
		changed = strings.ReplaceAll(changed, words, words+", in the words of another version")
	}
	replacement, overlay := filepath.Join(env.Dir(), "compile.go"), filepath.Join(env.Dir(), "overlay.json")
	if err := os.WriteFile(replacement, []byte(changed), 0o600); err != nil {
		return "", err
	}
	mapping, err := json.Marshal(map[string]any{"Replace": map[string]string{source: replacement}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, mapping, 0o600); err != nil {
		return "", err
	}
	return env.BuildManager(ctx, "manager-other", "-overlay", overlay)
}

// ask sends a request to etcd in JSON.
func ask(ctx context.Context, d *testenv.Etcd, path string, body map[string]any) (string, error) {
	content, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL()+path, bytes.NewReader(content))
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("etcd answered %s to %s: %s", response.Status, path, answer)
	}
	return string(answer), err
}

// etcdFull fills the space that the etcd of the shop may take, looks that an address is late there and nowhere else,
// and makes room again, as an administrator has to.
func etcdFull(ctx context.Context) {
	junk := bytes.Repeat([]byte{1}, 1<<20)
	full := false
	for i := 0; i < 2*shopQuota/len(junk) && !full; i++ {
		_, err := ask(ctx, shopEtcd, "/v3/kv/put", map[string]any{"key": fmt.Appendf(nil, "junk/%d", i), "value": junk})
		full = err != nil && strings.Contains(err.Error(), "space exceeded")
	}
	Expect(full).To(BeTrue())
	err := shop.Client().Create(ctx, testenv.Parse(configMap("nothing to see")))
	Expect(err).To(MatchError(ContainSubstring("space exceeded")), "nothing can be written")
	writes(ctx, location("late"))
	acts(ctx, "late.prod.example", staging)
	says(ctx, skottv1.ConditionGuarded, "staging", "False/", "platform/shop")
	Expect(deniedBySkott(tries(ctx, shop, service("orders.db.prod.example")))).To(BeTrue())

	makesRoom(ctx)
	requests.healed()
	acts(ctx, "late.prod.example", shop)
	remove(ctx, suite.DataLocation("late"))
}

// makesRoom does what an administrator of a full etcd has to do.
func makesRoom(ctx context.Context) {
	GinkgoHelper()
	asks := func(path string, body map[string]any, into any) {
		GinkgoHelper()
		answer, err := ask(ctx, shopEtcd, path, body)
		Expect(err).NotTo(HaveOccurred())
		Expect(json.Unmarshal([]byte(answer), into)).To(Succeed())
	}
	var deleted struct {
		Header struct{ Revision string }
	}
	asks("/v3/kv/deleterange", map[string]any{"key": []byte("junk/"), "range_end": []byte("junk0")}, &deleted)
	asks("/v3/kv/compaction", map[string]any{"revision": deleted.Header.Revision, "physical": true}, &struct{}{})
	asks("/v3/maintenance/defragment", map[string]any{}, &struct{}{})
	var raised struct {
		Alarms []struct{ MemberID, Alarm string }
	}
	asks("/v3/maintenance/alarm", map[string]any{"action": "GET"}, &raised)
	for _, a := range raised.Alarms {
		asks("/v3/maintenance/alarm", map[string]any{"action": "DEACTIVATE", "alarm": a.Alarm, "memberID": a.MemberID}, &struct{}{})
	}
}

func etcdKilled(ctx context.Context) {
	Expect(shopEtcd.Stop()).To(Succeed())
	for range 10 { // admission needs no etcd
		Expect(deniedBySkott(tries(ctx, shop, service("orders.db.prod.example")))).To(BeTrue())
		stays(ctx, 500*time.Millisecond)
	}
	requests.healed()
	Expect(shopEtcd.Start(ctx)).To(Succeed())
}

// apiKilled kills an API server and starts it again, and waits until it can decide.
func apiKilled(ctx context.Context, s *testenv.Server) {
	Expect(s.Stop()).To(Succeed())
	stays(ctx, 2*time.Second)
	requests.healed()
	Expect(s.Restart(ctx)).To(Succeed())
	decides(ctx, s)
}

// decides waits until a server that has just started admits what is permitted, and measures it.
func decides(ctx context.Context, s *testenv.Server) {
	GinkgoHelper()
	began := time.Now()
	Eventually(func() error { return tries(ctx, s, service("db.elsewhere.example")) }).WithContext(ctx).
		WithTimeout(startBound).WithPolling(100 * time.Millisecond).Should(Succeed())
	AddReportEntry(s.Name()+" decides, after it was ready, within", time.Since(began).Round(10*time.Millisecond).String())
}

func hubDown(ctx context.Context) {
	Expect(ops.Stop()).To(Succeed())
	stays(ctx, 5*time.Second)
	requests.healed()
	Expect(ops.Restart(ctx)).To(Succeed())
	if !operator.Running() { // a kubelet does it
		Expect(operator.Start(ctx)).To(Succeed())
	}
	decides(ctx, ops)
}

func allRestarted(ctx context.Context) {
	type part struct{ stop, start func() error }
	var parts []part
	for _, s := range []*testenv.Server{ops, production, staging, shop} {
		parts = append(parts, part{s.Stop, func() error { return s.Restart(ctx) }})
	}
	etcds := []*testenv.Etcd{env.Etcd(), hubEtcd, shopEtcd}
	for _, d := range etcds {
		parts = append(parts, part{d.Stop, nil})
	}
	random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 2))
	for _, i := range random.Perm(len(parts)) {
		Expect(parts[i].stop()).To(Succeed())
	}
	stays(ctx, time.Second)
	requests.healed()
	// An API server that finds no etcd ends, and would be started again; here etcd comes first.
	for _, i := range random.Perm(len(etcds)) {
		Expect(etcds[i].Start(ctx)).To(Succeed())
	}
	var group errgroup.Group
	group.SetLimit(2)
	for _, i := range random.Perm(len(parts) - len(etcds)) {
		group.Go(parts[i].start)
	}
	Expect(group.Wait()).To(Succeed())
	if !operator.Running() {
		Expect(operator.Start(ctx)).To(Succeed())
	}
	for _, s := range []*testenv.Server{ops, production, staging, shop} {
		decides(ctx, s)
	}
}

// deletedInUse tries to move a production ManagementCluster to staging, and deletes it: its guard stays, and so does what
// it forbade.
func deletedInUse(ctx context.Context) {
	Expect(hub.Patch(ctx, suite.ManagementCluster("production"), client.RawPatch("application/merge-patch+json",
		[]byte(`{"spec":{"environmentRef":{"name":"staging"}}}`)))).To(Satisfy(apierrors.IsInvalid), "a ManagementCluster cannot move")
	remove(ctx, suite.ManagementCluster("production"))
	stays(ctx, 2*time.Second)
	Expect(deniedBySkott(tries(ctx, shop, service("orders.db.prod.example")))).To(BeTrue())
	Expect(deniedBySkott(production.Client().Delete(ctx, testenv.Parse("{apiVersion: skott.dev/v1alpha1, kind: Guard, metadata: {name: skott}}"), client.DryRunAll))).
		To(BeTrue(), "its guard stays")
	requests.healed()
	writes(ctx, managementCluster("production"))
}
