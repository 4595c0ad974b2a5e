package config

import (
	"fmt"
	"net"
	"net/url"

	"github.com/aisle-store/aisle/cluster"
)

// The settings of one node.
var (
	Dir = text(Setting{Name: "dir", Type: "path",
		Help: "state directory of the node: identity, keys, replicated state"})
	Mountpaths = list(Setting{Name: "mountpath", Type: "path",
		Help: "directory of a disk that holds objects; give one for each disk; needed by a target"})
	Listen = address(Setting{Name: "listen", Default: ":8080",
		Help: "address that clients connect to: S3, native API, health and metrics"})
	IntraListen = address(Setting{Name: "intra-listen", Default: ":8081",
		Help: "address that other nodes connect to: raft, control calls and data"})
	GossipListen = address(Setting{Name: "gossip-listen", Default: ":7946",
		Help: "address of gossip, TCP and UDP"})
	IntraAdvertise = optionalAddress(Setting{Name: "intra-advertise",
		Help: "address under which other nodes reach --intra-listen, where it differs (default: its host, or the machine's first address)"})
	GossipAdvertise = optionalAddress(Setting{Name: "gossip-advertise",
		Help: "address under which other nodes reach --gossip-listen, where it differs"})
	PublicURL = key(Setting{Name: "public-url", Type: "url",
		Help: "URL under which clients reach --listen; without it the node is never the goal of a redirect"}, parsePublicURL)
	Join = list(Setting{Name: "join", Type: "host:port",
		Help: "intra-cluster addresses of nodes of the cluster to join; without it the node makes a new cluster, or goes on in its own"})
	Role = key(Setting{Name: "role", Type: "proxy,target", Default: "proxy,target",
		Help: "what the node does: proxy, target, or both"}, cluster.ParseRoles)
	Zone = text(Setting{Name: "zone",
		Help: "failure domain: copies of an object are placed in distinct zones first (default: every node is its own)"})
	TLSCert = text(Setting{Name: "tls-cert", Type: "path",
		Help: "certificate chain (PEM) of --listen; given together with --tls-key, clients use https"})
	TLSKey = text(Setting{Name: "tls-key", Type: "path",
		Help: "private key (PEM) of --tls-cert"})
	SecretFile = text(Setting{Name: "cluster-secret-file", Type: "path",
		Help: "file with the cluster secret (default: cluster.secret in the state directory, which the first node makes)"})
	MetadataCache = key(Setting{Name: "metadata-cache", Type: "size",
		Help: "memory for blocks of the index of objects, at least 16MiB (default: a 64th of the memory, between 64MiB and 4GiB); the process can come to three times as much"}, parseCache)
	LogFormat = choice(Setting{Name: "log-format", Default: "text",
		Help: "form of log lines on standard error"}, "text", "json")
	ClusterSecret = text(Setting{Name: "cluster-secret", Secret: true, EnvOnly: true,
		Help: "the cluster secret itself, instead of a file"})
	MasterKeyFile = text(Setting{Name: "master-key-file", Type: "path",
		Help: "file with the master key, under which encryption keys are sealed, in 32 bytes of hexadecimal or base64; older ones in the following lines. All nodes need the same (default: they are sealed under the cluster key)"})
	MasterKey = text(Setting{Name: "master-key", Secret: true, EnvOnly: true,
		Help: "the master key itself, instead of a file"})
	AccessKey = text(Setting{Name: "access-key", EnvOnly: true,
		Help: "root access key at the first start of a cluster (default: generated, printed once); for the client, the key to use"})
	SecretKey = text(Setting{Name: "secret-key", Secret: true, EnvOnly: true,
		Help: "secret of AISLE_ACCESS_KEY"})
)

// The settings of the command line client.
var (
	Endpoint = text(Setting{Name: "endpoint", Scope: ScopeClient, Type: "url", EnvOnly: true,
		Help: "URL of any node that is a proxy; several may be given, separated by commas"})
	Profile = text(Setting{Name: "profile", Scope: ScopeClient, EnvOnly: true,
		Help: "profile of `aisle login` to use (default: the one of the last login)"})
	CAFile = text(Setting{Name: "ca-file", Scope: ScopeClient, Type: "path", EnvOnly: true,
		Help: "certificates (PEM) that https endpoints may be signed with, besides the system's"})
	Token = text(Setting{Name: "token", Scope: ScopeClient, Secret: true, EnvOnly: true,
		Help: "bearer token to use instead of a key pair"})
)

// Node holds the settings of one node, parsed and checked.
type Node struct {
	Dir             string
	Mountpaths      []string
	Listen          string
	IntraListen     string
	GossipListen    string
	IntraAdvertise  string
	GossipAdvertise string
	PublicURL       string
	Join            []string
	Roles           cluster.Roles
	Zone            string
	TLSCert, TLSKey string
	SecretFile      string
	MetadataCache   int64 // bytes; zero: by the machine's memory
	LogFormat       string
	ClusterSecret   string
	MasterKeyFile   string
	MasterKey       string
	AccessKey       string
	SecretKey       string
	Initial         map[string]string // cluster settings given to this node: what a new cluster starts with
}

// LoadNode reads the settings of a node from s and checks them, each for itself and together.
func LoadNode(s *Source) (Node, error) {
	if err := s.Check(); err != nil {
		return Node{}, err
	}
	get := s.Lookup
	n := Node{
		Dir: Dir.Get(get), Mountpaths: Mountpaths.Get(get), Listen: Listen.Get(get), IntraListen: IntraListen.Get(get),
		GossipListen: GossipListen.Get(get), IntraAdvertise: IntraAdvertise.Get(get), GossipAdvertise: GossipAdvertise.Get(get),
		PublicURL: PublicURL.Get(get), Join: Join.Get(get), Roles: Role.Get(get), Zone: Zone.Get(get),
		TLSCert: TLSCert.Get(get), TLSKey: TLSKey.Get(get), SecretFile: SecretFile.Get(get), MetadataCache: MetadataCache.Get(get), LogFormat: LogFormat.Get(get),
		ClusterSecret: ClusterSecret.Get(get), MasterKeyFile: MasterKeyFile.Get(get), MasterKey: MasterKey.Get(get), AccessKey: AccessKey.Get(get), SecretKey: SecretKey.Get(get),
		Initial: make(map[string]string),
	}
	for _, setting := range Cluster() {
		if v := get(setting.Name); v != "" {
			n.Initial[setting.Name] = v
		}
	}
	return n, n.check()
}

// check looks at the settings that only make sense together.
func (n *Node) check() error {
	for _, rule := range []struct {
		broken bool
		cure   string
	}{
		{n.Dir == "", "--dir is needed: the directory where the node keeps its identity and state"},
		{n.Roles.Has(cluster.Target) && len(n.Mountpaths) == 0,
			"a target needs at least one --mountpath; use --role proxy for a gateway without disks"},
		{!n.Roles.Has(cluster.Target) && len(n.Mountpaths) > 0,
			"--mountpath is given, but --role does not name target"},
		{(n.TLSCert == "") != (n.TLSKey == ""), "--tls-cert and --tls-key belong together"},
		{(n.AccessKey == "") != (n.SecretKey == ""), "AISLE_ACCESS_KEY and AISLE_SECRET_KEY belong together"},
		{n.SecretFile != "" && n.ClusterSecret != "",
			"give either --cluster-secret-file or AISLE_CLUSTER_SECRET, not both"},
		{n.MasterKeyFile != "" && n.MasterKey != "", "give either --master-key-file or AISLE_MASTER_KEY, not both"},
	} {
		if rule.broken {
			return fmt.Errorf("%s", rule.cure)
		}
	}
	for _, join := range n.Join {
		if err := checkAddress(join); err != nil {
			return fmt.Errorf("--join: %w", err)
		}
	}
	return n.checkScheme()
}

func (n *Node) checkScheme() error {
	if n.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(n.PublicURL)
	if err != nil {
		return err
	}
	if want := n.Scheme(); u.Scheme != want {
		return fmt.Errorf("--public-url is %s, but --listen speaks %s", n.PublicURL, want)
	}
	return nil
}

// Scheme returns the scheme that clients use: https when there is a certificate.
func (n *Node) Scheme() string {
	if n.TLSCert != "" {
		return "https"
	}
	return "http"
}

func address(s Setting) Key[string] {
	s.Type = "host:port"
	return key(s, func(v string) (string, error) { return v, checkAddress(v) })
}

func optionalAddress(s Setting) Key[string] {
	s.Type = "host:port"
	return key(s, func(v string) (string, error) {
		if v == "" {
			return "", nil
		}
		return v, checkAddress(v)
	})
}

func parseCache(v string) (int64, error) {
	const least = 16 << 20
	if v == "" {
		return 0, nil
	}
	n, err := ParseSize(v)
	if err == nil && n < least {
		err = fmt.Errorf("%s is less than %s", v, FormatSize(least))
	}
	return n, err
}

func checkAddress(v string) error {
	if _, port, err := net.SplitHostPort(v); err != nil || port == "" {
		return fmt.Errorf("%q is not HOST:PORT", v)
	}
	return nil
}

func parsePublicURL(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return "", fmt.Errorf("%q is not http(s)://HOST[:PORT]", v)
	}
	return u.Scheme + "://" + u.Host, nil
}
