package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
)

// parallelStarts is how many kube-apiservers start at the same time: starting is bound by the CPU.
const parallelStarts = 2

// Env is one etcd and the API servers on it.
type Env struct {
	// Binaries are the programs in use.
	Binaries Binaries

	dir      string
	detached bool
	etcd     *Etcd

	mu        sync.Mutex
	etcds     []*Etcd // those beside etcd
	operators []*Operator
	guards    []*Guard
	servers   map[string]*Server // nil while a server is being started
}

// Option changes how an environment is started.
type Option func(*Env)

// Detached leaves every process running after this program ends. StopAll ends them later. Without it the kernel kills
// them with this program, however it dies.
func Detached() Option {
	return func(e *Env) { e.detached = true }
}

// Start finds the binaries and runs etcd with its data under dir, which must not hold an earlier environment; a dir on
// tmpfs is fastest. The context bounds the start only. The caller must call Stop, and owns dir.
func Start(ctx context.Context, dir string, options ...Option) (*Env, error) {
	binaries, err := Find()
	if err != nil {
		return nil, err
	}
	// StopAll recognises our processes by this path on their command lines.
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot start an environment in %q: %w", dir, err)
	}
	e := &Env{Binaries: binaries, dir: dir, servers: map[string]*Server{}}
	for _, option := range options {
		option(e)
	}
	if e.etcd, err = e.startEtcd(ctx, "etcd"); err != nil {
		return nil, err
	}
	return e, nil
}

// NewServer starts a kube-apiserver and waits until it serves. It may be called from several goroutines.
func (e *Env) NewServer(ctx context.Context, options Options) (*Server, error) {
	// The name is reserved before any file is written: a running server rereads the files of its directory.
	if !e.reserve(options.Name) {
		return nil, fmt.Errorf("cannot start server %q: the name is taken", options.Name)
	}
	s, err := newServer(e, options)
	if err == nil {
		err = s.Restart(ctx)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		delete(e.servers, options.Name)
		return nil, err
	}
	e.servers[options.Name] = s
	return s, nil
}

// reserve takes a name, unless it is taken.
func (e *Env) reserve(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, taken := e.servers[name]; taken {
		return false
	}
	e.servers[name] = nil
	return true
}

// NewServers starts several servers, two at a time, and returns them in the order asked for.
func (e *Env) NewServers(ctx context.Context, options ...Options) ([]*Server, error) {
	servers := make([]*Server, len(options))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelStarts)
	for i := range options {
		group.Go(func() (err error) {
			servers[i], err = e.NewServer(ctx, options[i])
			return err
		})
	}
	return servers, group.Wait()
}

// Stop ends every process of the environment, etcd last. The files stay.
func (e *Env) Stop() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, o := range e.operators {
		errs = append(errs, o.Stop())
	}
	for _, g := range e.guards {
		errs = append(errs, g.Stop())
	}
	for _, s := range e.servers {
		if s == nil {
			continue // being started; its own failure stops it
		}
		errs = append(errs, s.StopClusterAPI(), s.Stop())
	}
	for _, d := range append(e.etcds, e.etcd) {
		errs = append(errs, d.Stop())
	}
	return errors.Join(errs...)
}

// Dir is the directory the environment keeps its files in.
func (e *Env) Dir() string { return e.dir }

// newProcess places the files of a process in the environment's directory.
func (e *Env) newProcess(name, binary string, args ...string) *process {
	return &process{
		name:     name,
		binary:   binary,
		args:     args,
		logFile:  filepath.Join(e.dir, "logs", name+".log"),
		pidFile:  filepath.Join(e.dir, pidDir, name+".pid"),
		detached: e.detached,
	}
}

// healthy is nil when a GET of url answers 200.
func healthy(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() // only read
	body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", url, response.Status, body)
	}
	return nil
}
