//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// tool is an S3 client program, described by its command lines. In them {e} is the endpoint's URL, {h} its HOST:PORT,
// {b} the bucket, {k} a key, {to} another key, {f} a file and {d} a directory. An empty command line means that the
// program cannot do that.
type tool struct {
	name    string
	program string
	env     []string // {ca} is the file with the certificate to trust, {s} the scheme
	make    string
	put     string
	get     string
	part    string // prints bytes 1000 to 1999 to standard output or writes them to {f}
	list    string // prints all keys of the bucket
	up      string // copies a directory to the prefix {k}
	down    string // and back
	copy    string
	remove  string
	presign string // prints a URL somewhere
	expire  string // has what begins with logs/ expire after 400 days
	rules   string // prints that rule
}

// tools returns every client program to test. Missing ones fail the test: `make clients` installs them.
func tools(t *testing.T, c *testcluster.Cluster) []tool {
	root := testcluster.Root(t)
	aws := func(name, program string) tool {
		s3, s3api := "--endpoint-url {e} s3 ", "--endpoint-url {e} s3api "
		return tool{
			name: name, program: program, env: []string{"AWS_CA_BUNDLE={ca}"},
			make: s3 + "mb s3://{b}", put: s3 + "cp --only-show-errors {f} s3://{b}/{k}", get: s3 + "cp --only-show-errors s3://{b}/{k} {f}",
			part: s3api + "get-object --bucket {b} --key {k} --range bytes=1000-1999 {f}", list: s3 + "ls --recursive s3://{b}",
			up: s3 + "sync --only-show-errors {d} s3://{b}/{k}", down: s3 + "sync --only-show-errors s3://{b}/{k} {d}",
			copy: s3 + "cp --only-show-errors s3://{b}/{k} s3://{b}/{to}", remove: s3 + "rm --only-show-errors s3://{b}/{k}",
			presign: s3 + "presign s3://{b}/{k}",
		}
	}
	all := []tool{aws("aws", "/usr/bin/aws")}
	if newer, err := exec.LookPath("aws"); err != nil {
		t.Error("no aws on PATH: run make clients")
	} else if newer != "/usr/bin/aws" {
		all = append(all, aws("aws-newer", newer))
	}
	return append(all, tool{
		name: "s3cmd", program: "s3cmd",
		make: "mb s3://{b}", put: "put --no-progress {f} s3://{b}/{k}", get: "get --no-progress --force s3://{b}/{k} {f}",
		list: "ls --recursive s3://{b}", up: "sync --no-progress {d}/ s3://{b}/{k}/", down: "sync --no-progress s3://{b}/{k}/ {d}/",
		copy: "cp s3://{b}/{k} s3://{b}/{to}", remove: "del s3://{b}/{k}",
		expire: "expire --expiry-days=400 --expiry-prefix=logs/ s3://{b}", rules: "getlifecycle s3://{b}",
	}, tool{
		name: "rclone", program: "rclone",
		env: []string{"RCLONE_CONFIG_A_TYPE=s3", "RCLONE_CONFIG_A_PROVIDER=Other", "RCLONE_CONFIG_A_ENV_AUTH=true",
			"RCLONE_CONFIG_A_ENDPOINT={e}", "RCLONE_CA_CERT={ca}", "RCLONE_S3_UPLOAD_CUTOFF=16M", "RCLONE_CONFIG={home}/rclone.conf"},
		make: "mkdir a:{b}", put: "copyto {f} a:{b}/{k}", get: "copyto a:{b}/{k} {f}", part: "cat --offset 1000 --count 1000 a:{b}/{k}",
		list: "lsf -R --files-only a:{b}", up: "sync --transfers 16 {d} a:{b}/{k}", down: "sync --transfers 16 a:{b}/{k} {d}",
		copy: "copyto a:{b}/{k} a:{b}/{to}", remove: "deletefile a:{b}/{k}", presign: "link --expire 10m a:{b}/{k}",
	}, tool{
		name: "s5cmd", program: filepath.Join(root, ".cache/bin/s5cmd"), env: []string{"SSL_CERT_FILE={ca}"},
		make: "--endpoint-url {e} mb s3://{b}", put: "--endpoint-url {e} cp {f} s3://{b}/{k}", get: "--endpoint-url {e} cp s3://{b}/{k} {f}",
		list: "--endpoint-url {e} ls s3://{b}/*", up: "--endpoint-url {e} sync {d}/ s3://{b}/{k}/",
		down: "--endpoint-url {e} sync s3://{b}/{k}/* {d}/", copy: "--endpoint-url {e} cp s3://{b}/{k} s3://{b}/{to}",
		remove: "--endpoint-url {e} rm s3://{b}/{k}", presign: "--endpoint-url {e} presign s3://{b}/{k}",
	}, tool{
		name: "mc", program: filepath.Join(root, ".cache/bin/mc"),
		env:  []string{"MC_HOST_a={s}://" + testcluster.AccessKey + ":" + testcluster.SecretKey + "@{h}", "SSL_CERT_FILE={ca}", "MC_CONFIG_DIR={home}/mc"},
		make: "mb a/{b}", put: "cp -q {f} a/{b}/{k}", get: "cp -q a/{b}/{k} {f}", list: "ls -r a/{b}",
		up: "mirror -q {d} a/{b}/{k}", down: "mirror -q a/{b}/{k} {d}", copy: "cp -q a/{b}/{k} a/{b}/{to}",
		remove: "rm a/{b}/{k}", presign: "share download --json a/{b}/{k}",
		expire: "ilm rule add --expire-days 400 --prefix logs/ a/{b}", rules: "ilm rule ls a/{b}",
	})
}

// TestClientsHTTP and TestClientsHTTPS drive a cluster with the programs that people use, over both schemes, since SDKs
// sign bodies differently on each.
func TestClientsHTTP(t *testing.T)  { testClients(t, false) }
func TestClientsHTTPS(t *testing.T) { testClients(t, true) }

func testClients(t *testing.T, tls bool) {
	c := testcluster.Start(t, testcluster.Options{TLS: tls})
	for _, tool := range tools(t, c) {
		t.Run(tool.name, func(t *testing.T) { (&session{t: t, cluster: c, tool: tool, bucket: "with-" + tool.name}).run() })
	}
	for name, python := range pythons(t) {
		t.Run(name, func(t *testing.T) { testBoto3(t, c, name, python) })
		if tls {
			t.Run("encryption-"+name, func(t *testing.T) { runBoto3(t, c, python, boto3Encryption, "encryption-"+name) })
		}
	}
	t.Run("aws-sdk-go-v2", func(t *testing.T) { testGoSDK(t, c) })
}

// session is one program's work in a bucket of its own. Each command goes through the next node.
type session struct {
	t       *testing.T
	cluster *testcluster.Cluster
	tool    tool
	bucket  string
	next    int
}

func (s *session) run() {
	t := s.t
	dir := t.TempDir()
	files := map[string]string{
		"small.txt": randomFile(t, dir, 27), "dir one/medium ü+&.bin": randomFile(t, dir, 300_000), "large.bin": randomFile(t, dir, 64<<20),
	}
	s.do(s.tool.make, "", "", "", "")
	for key, file := range files {
		s.do(s.tool.put, key, "", file, "")
	}
	for key, file := range files {
		for range s.cluster.Nodes {
			back := filepath.Join(t.TempDir(), "back")
			s.do(s.tool.get, key, "", back, "")
			sameFile(t, file, back)
		}
	}
	s.wantKeys(files)
	s.rangeRead(files["large.bin"])
	s.synchronize()
	s.do(s.tool.copy, "large.bin", "copies/large.bin", "", "")
	back := filepath.Join(dir, "copy")
	s.do(s.tool.get, "copies/large.bin", "", back, "")
	sameFile(t, files["large.bin"], back)
	s.presigned(files["small.txt"])
	s.expiring()
	s.do(s.tool.remove, "small.txt", "", "", "")
	if out := s.do(s.tool.list, "", "", "", ""); strings.Contains(out, "small.txt") {
		t.Errorf("a deleted object is listed:\n%s", out)
	}
}

func (s *session) wantKeys(files map[string]string) {
	out := s.do(s.tool.list, "", "", "", "")
	for key := range files {
		if !strings.Contains(out, key) {
			s.t.Errorf("%q is not listed:\n%s", key, out)
		}
	}
	if lines := strings.Count(strings.TrimSpace(out), "\n") + 1; lines != len(files) {
		s.t.Errorf("%d lines are listed, want %d:\n%s", lines, len(files), out)
	}
}

// rangeRead fetches bytes 1000 to 1999 of the large object.
func (s *session) rangeRead(file string) {
	if s.tool.part == "" {
		return
	}
	back := filepath.Join(s.t.TempDir(), "part")
	got := []byte(s.do(s.tool.part, "large.bin", "", back, ""))
	if text, err := os.ReadFile(back); err == nil {
		got = text
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if !bytes.Equal(got, want[1000:2000]) {
		s.t.Errorf("a range of 1000 bytes comes back as %d other bytes", len(got))
	}
}

// synchronize copies a directory of 1,000 files up, and down again.
func (s *session) synchronize() {
	from, to := s.t.TempDir(), s.t.TempDir()
	random := rand.New(rand.NewPCG(3, 5))
	for i := range 1000 {
		path := filepath.Join(from, fmt.Sprintf("sub%d", i%10), fmt.Sprintf("file-%04d", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, randomBytes(random, random.IntN(5000)), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	s.do(s.tool.up, "tree", "", "", from)
	s.do(s.tool.down, "tree", "", "", to)
	sameTree(s.t, from, to)
}

// expiring sets a lifecycle rule, and asks for it through every node.
func (s *session) expiring() {
	if s.tool.expire == "" {
		return
	}
	s.do(s.tool.expire, "", "", "", "")
	for range s.cluster.Nodes {
		if out := s.do(s.tool.rules, "", "", "", ""); !strings.Contains(out, "logs/") || !strings.Contains(out, "400") {
			s.t.Errorf("the rule is not there:\n%s", out)
		}
	}
}

// presigned fetches an object with a program that knows nothing of keys.
func (s *session) presigned(file string) {
	if s.tool.presign == "" {
		return
	}
	out := s.do(s.tool.presign, "small.txt", "", "", "")
	i := strings.LastIndex(out, s.cluster.Nodes[0].Endpoint[:8])
	if i < 0 {
		s.t.Fatalf("no URL in %q", out)
	}
	link := strings.ReplaceAll(strings.FieldsFunc(out[i:], func(r rune) bool { return strings.ContainsRune(" \n\"<>", r) })[0], `\u0026`, "&")
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, link, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	rep, err := newFollower(s.cluster).send(req)
	if err != nil {
		s.t.Fatal(err)
	}
	want, _ := os.ReadFile(file)
	if rep.status != 200 || !bytes.Equal(rep.body, want) {
		s.t.Errorf("presigned GET %s: %s", link, rep)
	}
}

// do runs one command line through the next node and returns what it printed.
func (s *session) do(line, key, to, file, dir string) string {
	s.t.Helper()
	n := s.cluster.Nodes[s.next%len(s.cluster.Nodes)]
	s.next++
	scheme, host, _ := strings.Cut(n.Endpoint, "://")
	home := filepath.Join(s.cluster.Dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		s.t.Fatal(err)
	}
	fill := strings.NewReplacer("{e}", n.Endpoint, "{h}", host, "{s}", scheme, "{b}", s.bucket, "{k}", key, "{to}", to,
		"{f}", file, "{d}", dir, "{ca}", s.cluster.CAFile, "{home}", home)
	var args []string
	if s.tool.name == "s3cmd" {
		args = append(args, "--config", s3cmdConfig(s.t, s.cluster, home, scheme, host))
	}
	for _, arg := range strings.Fields(line) {
		args = append(args, fill.Replace(arg)) // a key with spaces stays one argument
	}
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "AWS_ACCESS_KEY_ID=" + testcluster.AccessKey, "LC_ALL=C.UTF-8",
		"AWS_SECRET_ACCESS_KEY=" + testcluster.SecretKey, "AWS_DEFAULT_REGION=us-east-1", "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
	}
	for _, e := range s.tool.env {
		if e = fill.Replace(e); !strings.HasSuffix(e, "=") {
			env = append(env, e)
		}
	}
	out, err := command(s.t, env, s.tool.program, args...)
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", s.tool.program, strings.Join(args, " "), err, out)
	}
	return out
}

// command runs a program with nothing on its standard input and at most three minutes of time.
func command(t *testing.T, env []string, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env
	cmd.WaitDelay = 5 * time.Second
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := cmd.Run()
	if err != nil {
		return out.String() + complaints.String(), err
	}
	return out.String(), nil
}

// s3cmdConfig writes the configuration file for one endpoint.
func s3cmdConfig(t *testing.T, c *testcluster.Cluster, home, scheme, host string) string {
	t.Helper()
	path := filepath.Join(home, "s3cmd-"+strings.ReplaceAll(host, ":", "-"))
	text := fmt.Sprintf("[default]\naccess_key = %s\nsecret_key = %s\nhost_base = %s\nhost_bucket = %[3]s\nuse_https = %v\nca_certs_file = %s\n",
		testcluster.AccessKey, testcluster.SecretKey, host, scheme == "https", c.CAFile)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func randomBytes(random *rand.Rand, size int) []byte {
	text := make([]byte, size)
	for i := range text {
		text[i] = byte(random.Uint32())
	}
	return text
}

func randomFile(t *testing.T, dir string, size int) string {
	t.Helper()
	path := filepath.Join(dir, fmt.Sprintf("random-%d", size))
	if err := os.WriteFile(path, randomBytes(rand.New(rand.NewPCG(uint64(size), 1)), size), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func sameFile(t *testing.T, want, got string) {
	t.Helper()
	a, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s: %d bytes, other content than %s with %d", got, len(b), want, len(a))
	}
}

func sameTree(t *testing.T, want, got string) {
	t.Helper()
	a, b := readTree(t, want), readTree(t, got)
	if len(a) != len(b) {
		t.Errorf("%d files came back of %d", len(b), len(a))
	}
	for name, text := range a {
		if !bytes.Equal(text, b[name]) {
			t.Errorf("%s came back with %d bytes, not the %d that it had", name, len(b[name]), len(text))
		}
	}
}

func readTree(t *testing.T, root string) map[string][]byte {
	t.Helper()
	tree := make(map[string][]byte)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		tree[rel] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
