package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	accessKey = "COMPAREROOTACCESSKEY"
	secretKey = "compare-root-secret-key-0123456789abcdef"
)

// server is one process under load.
type server struct {
	name     string
	endpoint string
	intra    string // of Aisle
	cmd      *exec.Cmd
}

// startAisle starts a node with one mountpath, or none when it is a gateway that joins another node.
func startAisle(ctx context.Context, o options, name string, join *server) (*server, error) {
	role := "proxy,target"
	if join != nil {
		role = "proxy"
	}
	return startNode(ctx, o, name, role, join)
}

// startTarget starts a node with one mountpath that joins another node.
func startTarget(ctx context.Context, o options, name string, join *server) (*server, error) {
	return startNode(ctx, o, name, "proxy,target", join)
}

// startTargets starts a cluster of targets; what it returns must be stopped, also with an error.
func startTargets(ctx context.Context, o options, names ...string) ([]*server, error) {
	first, err := startAisle(ctx, o, names[0], nil)
	if err != nil {
		return nil, err
	}
	servers := []*server{first}
	for _, name := range names[1:] {
		s, err := startTarget(ctx, o, name, first)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func stopAll(servers []*server) {
	for _, s := range servers {
		s.stop()
	}
}

func startNode(ctx context.Context, o options, name, role string, join *server) (*server, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(o.dir, name)
	s := &server{name: name, endpoint: "http://" + ports[0], intra: ports[1]}
	args := []string{"node", "--dir", filepath.Join(dir, "state"), "--listen", ports[0], "--intra-listen", ports[1], "--gossip-listen", ports[2],
		"--public-url", s.endpoint, "--role", role}
	if role != "proxy" {
		args = append(args, "--mountpath", filepath.Join(dir, "disk"))
	}
	if join != nil {
		args = append(args, "--join", join.intra, "--cluster-secret-file", filepath.Join(o.dir, join.name, "state", "cluster.secret"))
	}
	env := []string{"AISLE_ACCESS_KEY=" + accessKey, "AISLE_SECRET_KEY=" + secretKey}
	return s, s.start(ctx, o, env, "/-/ready", o.aisle, args...)
}

// startMinIO starts MinIO with one drive.
func startMinIO(ctx context.Context, o options) (*server, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	s := &server{name: "MinIO", endpoint: "http://" + ports[0]}
	env := []string{"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey, "MINIO_BROWSER=off"}
	return s, s.start(ctx, o, env, "/minio/health/ready", o.minio, "server", "--quiet", "--address", ports[0], filepath.Join(o.dir, "minio", "disk"))
}

// cores says which cores of how many a program may use, as taskset reads it.
type cores func(n int) string

func serverCores(n int) string { return fmt.Sprintf("0-%d", (n+1)/2-1) }
func loadCores(n int) string   { return fmt.Sprintf("%d-%d", (n+1)/2, n-1) }

// on makes a command that runs on its half of the cores: what the load generator takes is not taken from the servers.
func (o options) on(ctx context.Context, c cores, program string, args ...string) *exec.Cmd {
	if n := runtime.NumCPU(); !o.shared && n > 1 {
		args = append([]string{"-c", c(n), program}, args...)
		program = "taskset"
	}
	return exec.CommandContext(ctx, program, args...)
}

func (s *server) start(ctx context.Context, o options, env []string, ready, program string, args ...string) error {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(o.dir, s.name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = o.on(context.Background(), serverCores, program, args...)
	s.cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+o.dir)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.endpoint+ready, nil); err != nil {
			return err
		} else if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			s.stop()
			return fmt.Errorf("%s does not serve; see %s", s.name, log.Name())
		}
	}
}

func (s *server) stop() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait()
}

// createBucket makes a bucket with properties.
func (s *server) createBucket(ctx context.Context, o options, name string, props ...string) error {
	args := []string{"bucket", "create", name, "--props", strings.Join(props, ",")}
	cmd := exec.CommandContext(ctx, o.aisle, args...)
	cmd.Env = []string{"HOME=" + o.dir, "AISLE_ENDPOINT=" + s.endpoint, "AISLE_ACCESS_KEY=" + accessKey, "AISLE_SECRET_KEY=" + secretKey}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// gauge reads a metric.
func (s *server) gauge(ctx context.Context, name string) (value float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.endpoint+"/-/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\n"+name+" ")
	_, err = fmt.Sscan(rest, &value)
	return value, err
}

// settle waits until the server takes less than a twentieth of a processor for two seconds, a minute at most.
func (s *server) settle(ctx context.Context) error {
	const ticks = 100 // USER_HZ, of every Linux
	before, quiet := int64(-ticks), 0
	for range 60 {
		now, err := cpuTicks(s.cmd.Process.Pid)
		if err != nil {
			return err
		}
		if quiet++; now-before >= ticks/20 {
			quiet = 0
		}
		if quiet == 2 {
			break
		}
		before = now
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// cpuTicks returns the time that a process has taken of processors, in ticks.
func cpuTicks(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is malformed", pid)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return user + system, errors.Join(err1, err2)
}

// load is a run of `aisle bench`.
type load struct {
	operation string
	size      string
	objects   int
	prefix    string
	more      []string
}

// result is what `aisle bench` measured.
type result struct {
	Errors     int64            `json:"errors"`
	FirstError string           `json:"first_error"`
	OpsPerSec  float64          `json:"ops_per_second"`
	MiBPerSec  float64          `json:"mib_per_second"`
	P50        float64          `json:"p50_ms"`
	P99        float64          `json:"p99_ms"`
	ServerCPU  float64          `json:"server_cpu_us_per_op"`
	PeakRSS    map[string]int64 `json:"peak_rss_bytes"`
}

// bench runs a load against the first of the servers and watches all of them.
func bench(ctx context.Context, o options, l load, servers ...*server) (result, error) {
	args := []string{"bench", l.operation, "--json", "--endpoint", servers[0].endpoint, "--bucket", "compare", "--prefix", l.prefix + "/", "--keep",
		"--objects", strconv.Itoa(l.objects)}
	if l.size != "" {
		args = append(args, "--size", l.size)
	}
	args = append(args, l.more...)
	for _, s := range servers {
		args = append(args, "--pid", strconv.Itoa(s.cmd.Process.Pid))
	}
	cmd := o.on(ctx, loadCores, o.aisle, args...)
	cmd.Env = []string{"HOME=" + o.dir, "PATH=" + os.Getenv("PATH"), "AISLE_ACCESS_KEY=" + accessKey, "AISLE_SECRET_KEY=" + secretKey}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("%s on %s: %w", l.operation, servers[0].name, err)
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return r, err
	}
	if r.Errors > 0 {
		return r, fmt.Errorf("%s on %s: %d errors, the first: %s", l.operation, servers[0].name, r.Errors, r.FirstError)
	}
	return r, nil
}

func (o options) timed(l load) load {
	l.more = append([]string{"--prepared", "--duration", fmt.Sprintf("%gs", o.seconds), "--concurrency", strconv.Itoa(o.connections)}, l.more...)
	return l
}

// prepare writes the objects of a load by running one operation of it.
func prepare(ctx context.Context, o options, l load, s *server) error {
	l.more = append([]string{"--ops", "1", "--concurrency", strconv.Itoa(o.connections)}, l.more...)
	_, err := bench(ctx, o, l, s)
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func freePorts(n int) ([]string, error) {
	var all []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all, nil
}

// machine describes where the figures come from.
func machine(o options) string {
	cpu := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(text), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	use := "half of them for the load generator"
	if o.shared || runtime.NumCPU() == 1 {
		use = "shared with the load generator"
	}
	return fmt.Sprintf("%d cores (%s), %s, %s", runtime.NumCPU(), cpu, use, runtime.Version())
}
