package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// modulePath identifies the go.mod of this repository among those met on the way up.
const modulePath = "github.com/skott-dev/skott"

// AssetsVariable names the environment variable whose directory is searched before the repository's bin directory.
const AssetsVariable = "KUBEBUILDER_ASSETS"

// Binaries are the absolute paths of the programs a test environment runs.
type Binaries struct {
	// APIServer is kube-apiserver.
	APIServer string
	// Etcd is etcd.
	Etcd string
	// Kubectl is kubectl.
	Kubectl string
	// ClusterAPI is the Cluster API core manager, patched to serve its webhooks on loopback only.
	ClusterAPI string
}

// Find locates every binary in $KUBEBUILDER_ASSETS or in the bin directory of the repository. One that is missing is
// an error that says how to obtain it: a suite that silently skipped its control plane would prove nothing.
func Find() (Binaries, error) {
	root, err := Root()
	if err != nil {
		return Binaries{}, err
	}
	dirs := []string{filepath.Join(root, "bin")}
	if assets := os.Getenv(AssetsVariable); assets != "" {
		dirs = append([]string{assets}, dirs...)
	}
	var b Binaries
	var missing []error
	for _, want := range []struct {
		name string
		path *string
	}{
		{"kube-apiserver", &b.APIServer},
		{"etcd", &b.Etcd},
		{"kubectl", &b.Kubectl},
		{"capi-core", &b.ClusterAPI},
	} {
		if *want.path = findIn(dirs, want.name); *want.path == "" {
			missing = append(missing, fmt.Errorf("%s is not in %q: run \"make tools\"", want.name, dirs))
		}
	}
	return b, errors.Join(missing...)
}

// findIn returns the absolute path of the first executable file called name, or nothing.
func findIn(dirs []string, name string) string {
	for _, dir := range dirs {
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// Root walks up from this source file, or from the working directory when the build trimmed source paths, to the
// go.mod of this repository. Other modules on the way (hack/tools) are passed by.
func Root() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	start := filepath.Dir(file)
	if !filepath.IsAbs(file) {
		wd, err := os.Getwd()
		if err != nil {
			return "", fmt.Errorf("cannot find the repository root: %w", err)
		}
		start = wd
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(content, []byte("module "+modulePath+"\n")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("cannot find the go.mod of %s above %q", modulePath, start)
		}
	}
}
