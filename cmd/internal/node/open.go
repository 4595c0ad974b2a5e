package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/audit"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/cluster/secret"
	"github.com/aisle-store/aisle/cluster/stats"
	"github.com/aisle-store/aisle/notify"
	"github.com/aisle-store/aisle/proxy"
	"github.com/aisle-store/aisle/target"
	"github.com/aisle-store/aisle/xact"
	"github.com/aisle-store/aisle/xact/pace"
)

// controlProtocol is the protocol of control calls on the intra listener.
const controlProtocol = secret.Control

// raftDir is the directory of the replicated state within the state directory.
const raftDir = "raft"

// node is one node: its parts, in the order in which they are made.
type node struct {
	options  Options
	started  time.Time
	level    *slog.LevelVar
	log      *slog.Logger
	state    *state
	self     cluster.Node
	settings map[string]string // the cluster settings as of the last run
	listener net.Listener
	secret   *secret.Secret
	identity *secret.Identity
	mux      *secret.Mux
	stats    *stats.Registry
	client   *httpd.Client
	caller   *secret.Caller
	tickets  *intra.Tickets
	wall     func() time.Time
	jobs     *xact.Registry
	audit    *audit.Log
	clocks   *intra.Clocks
	notify   *notify.Sender
	control  *control.Control
	calls    *secret.Server
	target   *lateTarget // nil on a node without that role
	proxy    *proxy.Proxy
	cert     *httpd.Certificate // nil without TLS
	intra    *httpd.Server
	public   *httpd.Server

	life        context.Context // ends when the node begins to stop
	endSettings context.CancelFunc
	work        sync.WaitGroup
}

// open makes every part of a node; nothing runs and nobody is told yet. What was opened is closed again on an error.
func open(ctx context.Context, o Options) (*node, error) {
	n := &node{options: o, started: time.Now(), wall: wallClock()}
	var opened closers
	steps := []func(*closers) error{
		n.openState, n.openListeners, n.openControl, n.openTarget, n.openServers,
	}
	n.life, n.endSettings = context.WithCancel(ctx)
	n.level = new(slog.LevelVar)
	n.log = newLogger(o.Log, o.Settings.LogFormat, n.level)
	for _, step := range steps {
		if err := step(&opened); err != nil {
			n.endSettings()
			return nil, errors.Join(err, opened.close())
		}
	}
	return n, nil
}

// closers are what an unfinished node has opened.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) close() error {
	var all error
	for i := len(*c) - 1; i >= 0; i-- {
		all = errors.Join(all, (*c)[i]())
	}
	return all
}

func newLogger(w io.Writer, format string, level *slog.LevelVar) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// openState opens the state directory: who this node is, and what it knew.
func (n *node) openState(opened *closers) (err error) {
	s := n.options.Settings
	if n.state, err = openState(s.Dir); err != nil {
		return err
	}
	opened.add(n.state.close)
	mountpaths, err := n.state.register(s.Mountpaths)
	if err != nil {
		return err
	}
	n.self = cluster.Node{ID: n.state.id.ID, Roles: s.Roles, Zone: s.Zone, PublicURL: s.PublicURL, Incarnation: newIncarnation(), Mountpaths: mountpaths}
	if s.Roles.Has(cluster.Target) {
		n.self.Weight = 100
	}
	n.log = n.log.With("node", string(n.self.ID))
	if n.settings, err = n.state.loadSettings(s.Initial); err != nil {
		return err
	}
	n.level.Set(levelOf(n.settings))
	return nil
}

// openListeners takes the ports, so that a taken one is told before anything else happens.
func (n *node) openListeners(opened *closers) error {
	s := n.options.Settings
	public, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return busy("--listen", s.Listen, err)
	}
	opened.add(public.Close)
	shared, err := n.loadSecret()
	if err != nil {
		return err
	}
	identity, err := shared.Identity()
	if err != nil {
		return err
	}
	mux, err := secret.Listen(s.IntraListen, identity, n.log)
	if err != nil {
		return busy("--intra-listen", s.IntraListen, err)
	}
	opened.add(mux.Close)
	n.listener, n.mux, n.secret, n.identity = public, mux, shared, identity
	n.self.IntraAddr = advertised(s.IntraAdvertise, mux.Addr())
	if s.GossipAdvertise != "" {
		n.self.GossipAddr = s.GossipAdvertise
	} else if n.self.GossipAddr, err = advertisedText(s.GossipListen); err != nil {
		return fmt.Errorf("--gossip-listen: %w", err)
	}
	n.caller = secret.NewCaller(identity)
	opened.add(n.caller.Close)
	n.clocks = intra.NewClocks(control.BootTime)
	n.tickets = intra.NewTickets(intra.TicketOptions{Key: shared.TicketKey(), Self: string(n.self.ID), Now: n.wall})
	return n.openReplication(opened, shared, identity)
}

// busy explains why a port cannot be had.
func busy(flag, address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s %s: the port is taken by another program; stop it or choose another port", flag, address)
	}
	return fmt.Errorf("%s %s: %w", flag, address, err)
}

// loadSecret finds the cluster secret; a node that makes a new cluster makes one.
func (n *node) loadSecret() (*secret.Secret, error) {
	s := n.options.Settings
	shared, err := secret.Load(secret.Source{File: s.SecretFile, Value: s.ClusterSecret, StateDir: s.Dir})
	switch {
	case err == nil:
		return shared, nil
	case !cluster.Is(err, cluster.KindNotFound):
		return nil, err
	case s.SecretFile != "":
		return nil, err
	case len(s.Join) > 0:
		return nil, fmt.Errorf("to join a cluster, a node needs its secret: copy %s from the state directory of the first node and give it by --cluster-secret-file, or set AISLE_CLUSTER_SECRET", secret.FileName)
	}
	return secret.Generate(s.Dir)
}

// openReplication makes the control plane, which has not started, with its log and its gossip.
func (n *node) openReplication(opened *closers, shared *secret.Secret, identity *secret.Identity) error {
	s := n.options.Settings
	root, err := n.rootKey()
	if err != nil {
		return err
	}
	keyring, err := secret.OpenKeyring(s.Dir)
	if err != nil {
		return err
	}
	gossip, err := control.OpenGossip(n.self, s.GossipListen, shared.GossipKey(), n.log)
	if err != nil {
		return busy("--gossip-listen", s.GossipListen, err)
	}
	opened.add(gossip.Stop)
	dial := func(ctx context.Context, addr string) (net.Conn, error) { return identity.Dial(ctx, secret.Raft, addr) }
	replication, err := control.OnDisk(n.state.path(raftDir), n.mux.Protocol(secret.Raft), dial, n.log)
	if err != nil {
		return err
	}
	master, err := secret.LoadMaster(s.MasterKeyFile, s.MasterKey)
	if err != nil {
		return err
	}
	options := control.Options{
		Node: n.self, Join: s.Join, Root: root, Settings: s.Initial, Keyring: keyring, Replication: replication,
		Peers: n.caller, Gossip: gossip, Wall: n.wall, Logger: n.log,
		Full: func() bool { return n.target != nil && n.target.full() },
	}
	if master != nil {
		options.Master = master
	}
	n.control = control.New(options)
	return nil
}

// rootKey returns the root key that this node gives to a cluster that it makes; a node that joins one has none.
func (n *node) rootKey() (control.Key, error) {
	s := n.options.Settings
	_, kept := os.Stat(n.state.path(rootKeyFile))
	_, formed := os.Stat(n.state.path(raftDir))
	if errors.Is(kept, fs.ErrNotExist) && (len(s.Join) > 0 || formed == nil) {
		return control.Key{}, nil
	}
	k, err := loadRootKey(n.state, s, n.options.Out)
	return control.Key{ID: k.AccessKey, Secret: k.SecretKey, Root: true}, err
}

// openControl makes what the control plane is reached through.
func (n *node) openControl(opened *closers) error {
	n.stats = stats.New()
	n.jobs = xact.NewRegistry(n.self.ID, n.self.Incarnation, nil)
	n.audit = audit.New(n.self.ID, n.log, n.wall)
	n.client = httpd.NewClient(httpd.ClientOptions{})
	opened.add(func() error {
		n.client.Close()
		return nil
	})
	n.notify = notify.NewSender(func() []config.Destination { return config.NotifyDestinations.Get(n.control.View().Setting) })
	opened.add(func() error {
		n.notify.Close()
		return nil
	})
	n.calls = secret.NewServer(n.control.HandlePeer, n.log)
	return nil
}

// openTarget makes the part that holds objects. It opens its mountpaths when the node knows its cluster.
func (n *node) openTarget(*closers) error {
	if !n.self.Roles.Has(cluster.Target) {
		return nil
	}
	get := func(name string) string { return n.settings[name] }
	n.target = &lateTarget{state: n.state, log: n.log, options: target.Options{
		Node: n.self, Control: target.Controlled(n.control), Mirrors: n.state, Tickets: n.tickets, Peers: n.client, Logger: n.log, Audit: n.audit, Jobs: n.jobs, Scrub: n.scrubSettings, Pace: n.paceLimits,
		Now: n.wall, CheckWall: n.control.CheckWall,
		RetryWindow: config.RetryWindow.Get(get), InlineMax: int(config.InlineMax.Get(get)), SegmentMax: config.SegmentMax.Get(get),
		SegmentSize: config.SegmentSize.Get(get), HighWatermark: config.HighWatermark.Get(get),
		CacheBytes: cmp.Or(n.options.Settings.MetadataCache, cacheFor(memoryLimit())),
		Notices: &target.NoticeOptions{
			Sender: n.notify, Region: region,
			Queue: func() int { return config.NotifyQueue.Get(n.control.View().Setting) },
			Keep:  func() time.Duration { return config.NotifyKeep.Get(n.control.View().Setting) },
			Dead:  func() int { return config.NotifyDeadLetters.Get(n.control.View().Setting) },
			Bury:  func() time.Duration { return config.NotifyDeadKeep.Get(n.control.View().Setting) },
		},
	}}
	return nil
}

// region is what the nodes of a cluster say where a region is asked for.
const region = "us-east-1"

// paceLimits returns what the cluster settings say of rebalance now.
func (n *node) paceLimits() pace.Limits {
	setting := n.control.View().Setting
	return pace.Limits{Low: config.RebalanceMin.Get(setting), High: config.RebalanceMax.Get(setting), Parallel: config.RebalanceParallel.Get(setting)}
}

// scrubSettings returns what the cluster settings say of scrubs now.
func (n *node) scrubSettings() target.ScrubSettings {
	settings := n.control.View().Settings()
	get := func(name string) string { return settings[name] }
	return target.ScrubSettings{Rate: config.ScrubRate.Get(get), Interval: config.ScrubInterval.Get(get)}
}

// openServers makes the gateway and the two HTTP servers.
func (n *node) openServers(*closers) error {
	s := n.options.Settings
	o := proxy.Options{
		Self: n.self.ID, Control: n.control, Relay: n.client,
		Remote:  &intra.Client{HTTP: n.client, Tickets: n.tickets, Self: n.self.ID, Clocks: n.clocks},
		Tickets: n.tickets, Clocks: n.clocks, Metrics: n.stats.Write, State: n.ownState, Begin: n.begin, Region: region, Notify: n.notify, Audit: n.audit, Now: n.wall, Logger: n.log,
	}
	if n.target != nil {
		o.Local = n.target
	}
	n.proxy = proxy.New(o)
	n.watchState()
	get := func(name string) string { return n.settings[name] }
	common := httpd.Options{
		Logger: n.log, MaxHeaderBytes: int(config.HeaderMax.Get(get)), MaxConnections: config.MaxConnections.Get(get),
		IdleTimeout: config.IdleTimeout.Get(get), StallTimeout: config.StallTimeout.Get(get),
	}
	intraOptions, publicOptions := common, common
	intraOptions.Handler, intraOptions.WriteError, intraOptions.Stats = n.serveIntra, n.writeIntraError, n.stats.HTTP("intra")
	publicOptions.Handler, publicOptions.WriteError, publicOptions.Stats = n.servePublic, n.writePublicError, n.stats.HTTP("public")
	publicOptions.Observe = n.proxy.Observe
	if s.TLSCert != "" {
		var err error
		if n.cert, err = httpd.LoadCertificate(s.TLSCert, s.TLSKey); err != nil {
			return err
		}
		publicOptions.TLS = n.cert.Config()
	}
	n.intra, n.public = httpd.NewServer(intraOptions), httpd.NewServer(publicOptions)
	return nil
}

func (n *node) reloadCertificate() {
	if n.cert == nil {
		return
	}
	if err := n.cert.Reload(); err != nil {
		n.log.Error("the certificate cannot be read again; the one in use stays", "error", err)
		return
	}
	n.log.Info("the certificate was read again")
}
