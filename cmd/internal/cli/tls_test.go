package cli

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// TestTLS shows that an https endpoint needs a certificate that is trusted, and that login keeps which one.
func TestTLS(t *testing.T) {
	f := &fake{buckets: map[cluster.BucketName]cluster.BucketEntry{}, objects: map[string][]byte{}, settings: map[string]string{}}
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": dir, "AISLE_ACCESS_KEY": "AKID", "AISLE_SECRET_KEY": "secret"}
	run := func(want int, text string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		code := Run(context.Background(), args, Streams{In: strings.NewReader(""), Out: &out, Err: &out, Env: func(name string) string { return env[name] }})
		if code != want || !strings.Contains(out.String(), text) {
			t.Errorf("%v: exit code %d\n%s", args, code, out.String())
		}
	}
	run(exitFailure, "is not trusted", "ls", "--endpoint", server.URL)
	run(exitFailure, "no certificate", "login", "--ca-file", "/proc/self/exe", server.URL)
	run(exitOK, "Logged in", "login", "--ca-file", ca, server.URL)
	run(exitOK, "No buckets", "ls")
	env["AISLE_CA_FILE"] = ca
	run(exitOK, "No buckets", "ls", "--endpoint", server.URL)
	info, err := os.Stat(filepath.Join(dir, ".config", "aisle", "profiles.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("profiles.json: %v, %v", info, err)
	}
}
