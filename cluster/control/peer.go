package control

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// messageVersion is the version of the calls between nodes.
const messageVersion = 1

// The calls between nodes. All but the last three are answered by the leader only.
const (
	methodRenew   = "control.renew"
	methodChange  = "control.change"
	methodLeave   = "control.leave"
	methodStatus  = "control.status"
	methodLatest  = "control.latest"
	methodAccuse  = "control.accuse"
	methodSynced  = "control.synced"
	methodDisks   = "control.mountpaths"
	methodModes   = "control.modes"
	methodEnter   = "control.enter"   // answered by everybody; the leader takes it further
	methodSeal    = "control.seal"    // answered by a target
	methodFreeze  = "control.freeze"  // answered by a target
	methodMove    = "control.move"    // answered by a target
	methodConfirm = "control.confirm" // answered by a voter
)

type (
	// renewal asks for a lease and reports how far a node is.
	renewal struct {
		Version     int                 `json:"v"`
		Node        cluster.NodeID      `json:"node"`
		Incarnation cluster.Incarnation `json:"incarnation,string"`
		Applied     uint64              `json:"applied"`
		Ack         acknowledgement     `json:"ack"`
		GiveUp      bool                `json:"give_up,omitempty"` // the lease has ended, for the pending map is without this process
		Full        bool                `json:"full,omitempty"`    // a mountpath is full: no slots are to come here
		Wall        int64               `json:"wall,omitempty"`    // the wall clock of the node, in nanoseconds
		Last        bool                `json:"last,omitempty"`    // with GiveUp: the process stops and asks for no other
	}
	// acknowledgement says that a node has stopped what a pending map takes from it, but for the slots it keeps.
	acknowledgement struct {
		Map  cluster.MapVersion `json:"map"`
		Kept *cluster.SlotSet   `json:"kept,omitempty"`
	}
	// renewed answers a renewal.
	renewed struct {
		Version int    `json:"v"`
		Granted bool   `json:"granted"`
		Index   uint64 `json:"index"`          // what must be applied before the lease counts
		Wall    int64  `json:"wall,omitempty"` // the wall clock of the cluster, in nanoseconds
	}
	// change asks for a control change.
	change struct {
		Version int           `json:"v"`
		Command state.Command `json:"command"`
	}
	// changed answers a change that is applied at every lease holder.
	changed struct {
		Version int          `json:"v"`
		Result  state.Result `json:"result"`
	}
	// entering asks to become a member, or to come back as another incarnation.
	entering struct {
		Version   int          `json:"v"`
		Node      cluster.Node `json:"node"`
		Forwarded bool         `json:"forwarded,omitempty"` // by a node that the caller asked
	}
	// entered answers it. Unless Taken, the answer is only good for the addresses in it.
	entered struct {
		Version    int            `json:"v"`
		Taken      bool           `json:"taken"` // by the leader: wait for a map that names this incarnation
		Node       cluster.Node   `json:"node"`  // who answers
		Members    []cluster.Node `json:"members,omitempty"`
		ClusterKey []byte         `json:"cluster_key,omitempty"`
	}
	// leaving asks to leave for ever.
	leaving struct {
		Version int            `json:"v"`
		Node    cluster.NodeID `json:"node"`
	}
	// accusing says that holders of a slot do not answer its owner.
	accusing struct {
		Version     int                 `json:"v"`
		Node        cluster.NodeID      `json:"node"` // the owner
		Incarnation cluster.Incarnation `json:"incarnation,string"`
		Slot        cluster.Slot        `json:"slot"`
		Epoch       cluster.Epoch       `json:"epoch"`
		Accused     []cluster.NodeID    `json:"accused"`
	}
	// syncing says that a holder has caught up with the owners of slots, under the epochs that it names.
	syncing struct {
		Version     int                                `json:"v"`
		Node        cluster.NodeID                     `json:"node"`
		Incarnation cluster.Incarnation                `json:"incarnation,string"`
		Slots       map[cluster.Epoch]*cluster.SlotSet `json:"slots"`
	}
	// mounting says what the mountpaths of a node are; see state.SetMountpaths.
	mounting struct {
		Version int                 `json:"v"`
		Set     state.SetMountpaths `json:"set"`
	}
	// sealing asks a target whether a deleting bucket is empty.
	sealing struct {
		Version     int                 `json:"v"`
		Incarnation cluster.Incarnation `json:"incarnation,string"`
		Bucket      cluster.BucketID    `json:"bucket"`
		Index       uint64              `json:"index"` // that must be applied, the deletion's or a later one
	}
	// sealed answers it.
	sealed struct {
		Version int  `json:"v"`
		Empty   bool `json:"empty"`
	}
	// frozen answers a sealing of a bucket that is being frozen.
	frozen struct {
		Version int `json:"v"`
	}
	// moved answers a sealing of a frozen id: it tells how far the target has come with moving what it owns of it.
	moved struct {
		Version int    `json:"v"`
		Done    bool   `json:"done"` // all is moved, unless slots come to this target
		Objects uint64 `json:"objects"`
	}
	// confirming asks a voter for its term. Both sides name it: an address may have become another node's.
	confirming struct {
		Version int            `json:"v"`
		Voter   cluster.NodeID `json:"voter"`
	}
	// confirmed tells the term that a voter is in.
	confirmed struct {
		Version int            `json:"v"`
		Voter   cluster.NodeID `json:"voter"`
		Term    uint64         `json:"term"`
	}
	// nothing is the body of calls and answers that say no more.
	nothing struct {
		Version int `json:"v"`
	}
)

// HandlePeer answers a call that another node's Peers carried here.
func (c *Control) HandlePeer(ctx context.Context, method string, body []byte) ([]byte, error) {
	const op = "control.HandlePeer"
	if !c.started.Load() || c.life.Err() != nil {
		return nil, cluster.Fail(op, method, cluster.KindUnavailable, "this node is starting or stopping")
	}
	switch method {
	case methodRenew:
		return answer(ctx, body, c.handleRenewal)
	case methodChange:
		return answer(ctx, body, c.handleChange)
	case methodLeave:
		return answer(ctx, body, c.handleLeaving)
	case methodStatus:
		return answer(ctx, body, c.handleStatus)
	case methodLatest:
		return answer(ctx, body, c.handleLatest)
	case methodAccuse:
		return answer(ctx, body, c.handleAccusing)
	case methodSynced:
		return answer(ctx, body, c.handleSyncing)
	case methodDisks:
		return answer(ctx, body, c.handleMounting)
	case methodModes:
		return answer(ctx, body, c.handleModes)
	case methodEnter:
		return answer(ctx, body, c.handleEntering)
	case methodSeal:
		return answer(ctx, body, c.handleSealing)
	case methodFreeze:
		return answer(ctx, body, c.handleFreezing)
	case methodMove:
		return answer(ctx, body, c.handleMoving)
	case methodConfirm:
		return answer(ctx, body, c.handleConfirming)
	}
	return nil, cluster.Fail(op, method, cluster.KindNotImplemented, "this build does not know the call")
}

// answer decodes a call, carries it out and encodes the answer.
func answer[Q, A any](ctx context.Context, body []byte, handle func(context.Context, Q) (A, error)) ([]byte, error) {
	const op = "control.HandlePeer"
	var q Q
	if err := decode(body, &q); err != nil {
		return nil, cluster.E(op, "", cluster.KindInvalid, err)
	}
	a, err := handle(ctx, q)
	if err != nil {
		return nil, err
	}
	return json.Marshal(a)
}

// decode reads a message, and refuses one of another version.
func decode(body []byte, into any) error {
	var version nothing
	if err := json.Unmarshal(body, &version); err != nil {
		return err
	}
	if version.Version != messageVersion {
		return fmt.Errorf("a message has version %d, and this build knows version %d", version.Version, messageVersion)
	}
	return json.Unmarshal(body, into)
}

// callLeader makes a call to whoever leads as far as this node knows.
func (c *Control) callLeader(ctx context.Context, method string, question, into any) error {
	leader := c.engine.Leader()
	if leader == "" {
		return noLeader()
	}
	return c.callNode(ctx, leader, method, question, into)
}

// callNode makes a call to a node, which may be this one.
func (c *Control) callNode(ctx context.Context, id cluster.NodeID, method string, question, into any) error {
	if id == c.options.Node.ID {
		return c.exchange(ctx, question, into, func(body []byte) ([]byte, error) { return c.HandlePeer(ctx, method, body) })
	}
	addr, err := c.resolve(id)
	if err != nil {
		return err
	}
	return c.callAddress(ctx, addr, method, question, into)
}

func (c *Control) callAddress(ctx context.Context, addr, method string, question, into any) error {
	return c.exchange(ctx, question, into, func(body []byte) ([]byte, error) { return c.options.Peers.Call(ctx, addr, method, body) })
}

func (c *Control) exchange(ctx context.Context, question, into any, call func([]byte) ([]byte, error)) error {
	const op = "control.call"
	body, err := json.Marshal(question)
	if err != nil {
		return cluster.E(op, "", cluster.KindOther, err)
	}
	reply, err := call(body)
	if err != nil {
		return err
	}
	if err := decode(reply, into); err != nil {
		return cluster.E(op, "", cluster.KindOther, err)
	}
	return nil
}

func noLeader() error {
	return cluster.Fail("control.call", "", cluster.KindUnavailable, "nobody leads the cluster at this moment")
}
