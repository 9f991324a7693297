// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Nothing here opens anything.
const (
	value  = "q7Zk2LmX9vRt4BnW8sYd"
	second = "Hh3/kd+02Lq9ZtUw7vXe=="
)

var (
	der    = strings.Repeat("\x30\x01key", 20)
	keyPEM = string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte(der)}))
)

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// secretOf is a Secret of pairs of keys and values.
func secretOf(kind string, pairs ...string) map[string]any {
	data := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		data[pairs[i]] = encode(pairs[i+1])
	}
	return map[string]any{"type": kind, "data": data}
}

// jwt is a token that somebody issued for a time.
func jwt(issued, ends int) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"RS256"}`) + "." + part(fmt.Sprintf(`{"iat":%d,"exp":%d}`, issued, ends)) + "." + part(value)
}

func values(found []Credential) []string {
	var out []string
	for _, c := range found {
		out = append(out, c.Value)
	}
	slices.Sort(out)
	return out
}

func TestCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		secret map[string]any
		want   []string
	}{
		"a key of S3":         {secretOf("Opaque", "AWS_SECRET_ACCESS_KEY", value, "AWS_ACCESS_KEY_ID", "AKIAQ7ZK2LMX9VRT4BNW"), []string{value}},
		"velero":              {secretOf("Opaque", "cloud", "[default]\naws_access_key_id = AKIAQ7ZK2LMX9VRT4BNW\naws_secret_access_key = "+second+"\n"), []string{second}},
		"a token":             {secretOf("Opaque", "api-token", value+"\n"), []string{value}},
		"a TLS key":           {secretOf("kubernetes.io/tls", "tls.key", keyPEM, "tls.crt", strings.ReplaceAll(keyPEM, "EC PRIVATE KEY", "CERTIFICATE")), []string{der}},
		"the same, wrapped":   {secretOf("Opaque", "id", "\n  "+strings.ReplaceAll(keyPEM, "\n", "\r\n")), []string{der}},
		"a long token":        {secretOf("Opaque", "token", jwt(1000, 1000+365*24*3600)), []string{jwt(1000, 1000+365*24*3600)}},
		"a token with no end": {secretOf("Opaque", "token", jwt(0, 0)), []string{jwt(0, 0)}},
		"symbols":             {secretOf("Opaque", "password", "k<a9{}Z$Qw{7}<b~4x"), []string{"k<a9{}Z$Qw{7}<b~4x"}},
		"a TLS key in JSON":   {secretOf("Opaque", "sa.json", `{"private_key": "`+strings.ReplaceAll(keyPEM, "\n", `\n`)+`"}`), []string{der}},
		"kubeconfig": {secretOf("cluster.x-k8s.io/secret", "value", "users:\n- name: admin\n  user:\n    client-certificate-data: "+encode("certificate of 20 bytes")+
			"\n    client-key-data: "+encode(keyPEM)+"\n    token: "+value+"\n"), []string{der, value}},
		"argo cd": {secretOf("Opaque", "config", `{"bearerToken":"`+value+`","tlsClientConfig":{"insecure":false,"keyData":"`+encode(keyPEM)+`"}}`), []string{der, value}},
		"registry": {secretOf("kubernetes.io/dockerconfigjson", ".dockerconfigjson",
			`{"auths":{"harbor.example":{"username":"robot","password":"`+value+`","auth":"`+encode("robot:"+value)+`"}}}`), []string{value}},
		"registry, auth alone": {secretOf("kubernetes.io/dockerconfigjson", ".dockerconfigjson", `{"auths":{"harbor.example":{"auth":"`+encode("robot:"+value)+`"}}}`), []string{value}},
		"url":                  {secretOf("Opaque", "uri", "postgresql://app:"+value+"@db.prod.example:5432/shop?sslmode=require"), []string{value}},
		"url, escaped":         {secretOf("Opaque", "uri", "amqp://app:q7Zk2LmX9vRt4BnW8sY%2Fd@mq.prod.example"), []string{"q7Zk2LmX9vRt4BnW8sY/d"}},
		"connection strings": {secretOf("Opaque", "dsn", "host=db user=app password="+value+" dbname=shop", "azure", "AccountName=x;AccountKey="+second+";EndpointSuffix=core"),
			[]string{second, value}},
		"clouds.yaml": {secretOf("Opaque", "clouds.yaml", "clouds:\n  c:\n    auth:\n      application_credential_secret: \""+value+"\"\n"), []string{value}},
		"as written":  {map[string]any{"stringData": map[string]any{"password": value}}, []string{value}},

		"short":                {secretOf("Opaque", "password", "q7Zk2LmX9vRt4Bn"), nil},
		"no name of a secret":  {secretOf("Opaque", "checksum", value, "tls.crt", "x"), nil},
		"a word":               {secretOf("Opaque", "password", "productionpassword"), nil},
		"repeated":             {secretOf("Opaque", "password", "aB1aB1aB1aB1aB1aB1"), nil},
		"documentation":        {secretOf("Opaque", "secretKey", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), nil},
		"default of a chart":   {secretOf("Opaque", "repository-password", "static-passw0rd", "admin-password", "prom-operator-1234"), nil},
		"a short token":        {secretOf("Opaque", "token", jwt(1000, 1000+3600)), nil},
		"a token of AWS":       {secretOf("kubernetes.io/dockerconfigjson", ".dockerconfigjson", `{"auths":{"r.example":{"auth":"`+encode("AWS:"+encode(`{"payload":"`+value+`"}`))+`"}}}`), nil},
		"a hash":               {secretOf("Opaque", "password", "$2y$10$N9qo8uLOickgx2ZMRZoMye"), nil},
		"a template":           {secretOf("Opaque", "password", "${DATABASE_PASSWORD_1}"), nil},
		"where it is":          {secretOf("Opaque", "password", "/etc/secrets/postgres/password1", "token", "https://vault.prod.example/v1/x9"), nil},
		"service account":      {secretOf("kubernetes.io/service-account-token", "token", value), nil},
		"bootstrap":            {secretOf("bootstrap.kubernetes.io/token", "token", value), nil},
		"helm":                 {secretOf("helm.sh/release.v1", "release", "password: "+value), nil},
		"a certificate":        {secretOf("Opaque", "ca.crt", "-----BEGIN CERTIFICATE-----\n"+encode(der)+"\n-----END CERTIFICATE-----\n"), nil},
		"nothing":              {map[string]any{}, nil},
		"null":                 {map[string]any{"type": nil, "data": nil, "stringData": nil}, nil},
		"wrong types":          {map[string]any{"type": 7, "data": []any{"password"}, "stringData": map[string]any{"password": map[string]any{"a": value}, "token": int64(7)}}, nil},
		"no base64":            {map[string]any{"data": map[string]any{"password": "!" + value}}, nil},
		"bytes":                {secretOf("Opaque", "blob", "\xff\xfepassword: "+value), nil},
		"half a PEM":           {secretOf("Opaque", "tls.key", keyPEM[:len(keyPEM)/2]), nil},
		"a list of public PEM": {secretOf("Opaque", "known", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIQ7Zk2LmX9vRt4BnW8sYd"), nil},
	} {
		slices.Sort(c.want)
		found := Credentials(c.secret)
		if diff := cmp.Diff(c.want, values(found)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		for _, credential := range found {
			if text := fmt.Sprintf("%v %+v %#v", credential, credential, credential); strings.Contains(text, credential.Value) {
				t.Errorf("%s: prints the value", name)
			}
		}
		candidates := values(CredentialCandidates(c.secret))
		for _, v := range c.want {
			if !slices.Contains(candidates, v) {
				t.Errorf("%s: what is learned is not judged", name)
			}
		}
	}
}

// What is judged does not depend on how its author calls it.
func TestCandidates(t *testing.T) {
	for name, secret := range map[string]map[string]any{
		"another key":     secretOf("Opaque", "notes", value),
		"in a text":       secretOf("Opaque", "notes.txt", "use\t"+value+", please"),
		"another setting": secretOf("Opaque", "app.ini", "[s3]\nx="+value+"\n"),
		"another type":    secretOf("helm.sh/release.v1", "x", value),
		"a Secret in it":  secretOf("addons.cluster.x-k8s.io/resource-set", "s.yaml", "kind: Secret\ndata:\n  x: "+encode(value)+"\n"),
		"as written":      {"stringData": map[string]any{"x": value}},
	} {
		if !slices.Contains(values(CredentialCandidates(secret)), value) {
			t.Errorf("%s: not among the candidates", name)
		}
	}
	if !slices.Contains(values(CredentialCandidates(secretOf("Opaque", "x", "k: "+encode(keyPEM)))), der) {
		t.Error("a private key in base64 is not among the candidates")
	}
	if got := CredentialCandidates(map[string]any{"data": nil}); got != nil {
		t.Errorf("nothing has candidates: %v", got)
	}
}

// A Secret of a megabyte is read within what the API server waits.
func BenchmarkCredentialCandidates(b *testing.B) {
	var text strings.Builder
	for i := 0; text.Len() < 1<<20; i++ {
		fmt.Fprintf(&text, "setting-%d: %s%d\n", i, value, i)
	}
	secret := secretOf("Opaque", "app.yaml", text.String())
	b.SetBytes(1 << 20)
	for b.Loop() {
		CredentialCandidates(secret)
	}
}

func FuzzCredentials(f *testing.F) {
	f.Add("password", value)
	f.Add("value", "token: \""+value)
	f.Add("tls.key", keyPEM)
	f.Fuzz(func(t *testing.T, key, text string) {
		secret := secretOf("Opaque", key, text)
		candidates := values(CredentialCandidates(secret))
		for _, c := range Credentials(secret) {
			if len(c.Value) < minCredential {
				t.Fatalf("learns %d bytes", len(c.Value))
			}
			if !slices.Contains(candidates, c.Value) {
				t.Fatal("learns what it does not judge")
			}
		}
	})
}
