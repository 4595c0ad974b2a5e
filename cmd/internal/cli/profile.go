package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/proxy/client"
)

// profile is how to reach one cluster.
type profile struct {
	Endpoints []string `json:"endpoints"`
	AccessKey string   `json:"access_key"`
	SecretKey string   `json:"secret_key"`
	CAFile    string   `json:"ca_file,omitempty"`
}

// profiles is the file that `aisle login` and `aisle dev` write.
type profiles struct {
	Current  string             `json:"current"` // the profile to use when none is named
	Profiles map[string]profile `json:"profiles"`
}

// profilePath is aisle/profiles.json in the user's configuration directory.
func (a *app) profilePath() (string, error) {
	if dir := a.Env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "aisle", "profiles.json"), nil
	}
	home := a.Env("HOME")
	if home == "" {
		return "", errors.New("neither HOME nor XDG_CONFIG_HOME is set, so there is no place for profiles")
	}
	return filepath.Join(home, ".config", "aisle", "profiles.json"), nil
}

// loadProfiles reads the file; one that does not exist is empty.
func (a *app) loadProfiles() (profiles, error) {
	all := profiles{Profiles: make(map[string]profile)}
	path, err := a.profilePath()
	if err != nil {
		return all, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return all, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// saveProfile adds or replaces a profile; use makes it the current one.
func (a *app) saveProfile(name string, p profile, use func(current string) bool) error {
	all, err := a.loadProfiles()
	if err != nil {
		return err
	}
	if all.Profiles == nil {
		all.Profiles = make(map[string]profile)
	}
	all.Profiles[name] = p
	if use(all.Current) {
		all.Current = name
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	path, err := a.profilePath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temporary, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// target returns how to reach the cluster: flags win over the environment, which wins over the profile.
func (a *app) target() (profile, error) {
	p, err := a.chosenProfile()
	if err != nil {
		return p, err
	}
	if s := a.endpoint; s != "" {
		p.Endpoints = strings.Split(s, ",")
	} else if s := config.Endpoint.Get(a.lookup); s != "" {
		p.Endpoints = strings.Split(s, ",")
	}
	if key := config.AccessKey.Get(a.lookup); key != "" {
		p.AccessKey, p.SecretKey = key, config.SecretKey.Get(a.lookup)
	}
	if ca := config.CAFile.Get(a.lookup); ca != "" {
		p.CAFile = ca
	}
	return p, nil
}

// lookup finds a setting of the client in the environment.
func (a *app) lookup(name string) string {
	for _, s := range append(config.Client(), config.AccessKey.Setting, config.SecretKey.Setting) {
		if s.Name == name {
			return a.Env(s.Env())
		}
	}
	return ""
}

func (a *app) chosenProfile() (profile, error) {
	name := a.profile
	if name == "" {
		name = config.Profile.Get(a.lookup)
	}
	all, err := a.loadProfiles()
	if err != nil && (name != "" || config.Endpoint.Get(a.lookup) == "") {
		return profile{}, err
	}
	if name == "" {
		return all.Profiles[all.Current], nil
	}
	p, ok := all.Profiles[name]
	if !ok {
		return p, &usageError{fmt.Sprintf("there is no profile %q; make it with: aisle login --profile %s URL", name, name)}
	}
	return p, nil
}

// connect returns a client of the chosen cluster.
func (a *app) connect() (*client.Client, error) {
	p, err := a.target()
	if err != nil {
		return nil, err
	}
	if len(p.Endpoints) == 0 {
		return nil, &usageError{"no cluster is named; start one with: aisle dev; or name one with: aisle login URL, or AISLE_ENDPOINT"}
	}
	return a.open(p)
}

func (a *app) open(p profile) (*client.Client, error) {
	authorities, err := tlsConfig(p.CAFile)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{
		Endpoints: p.Endpoints, AccessKey: p.AccessKey, SecretKey: p.SecretKey, Token: config.Token.Get(a.lookup), TLS: authorities,
	})
	if cluster.Is(err, cluster.KindUnauthenticated) {
		return nil, &usageError{"no access key is given; log in with: aisle login, or set AISLE_ACCESS_KEY and AISLE_SECRET_KEY"}
	}
	return c, err
}

// tlsConfig trusts the certificates in a file besides the system's; nil without a file.
func tlsConfig(caFile string) (*tls.Config, error) {
	if caFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
