package control

import (
	"context"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// changeTimeout bounds a control change whose caller sets no limit of its own.
const changeTimeout = 15 * time.Second

// CreateBucket makes a bucket and returns when it exists at every node that may answer. A copy of the same request gets
// the same answer. owner is the id of the user or role that makes it. Without a clear outcome within the context's time the error is KindUnavailable.
func (c *Control) CreateBucket(ctx context.Context, req cluster.RequestID, b cluster.Bucket, p cluster.BucketProps, creator cluster.AccessKeyID, owner string, configs ...*cluster.BucketConfig) (cluster.BucketEntry, error) {
	const op = "control.CreateBucket"
	return c.changeBucket(ctx, op, b, state.Command{Request: req, CreateBucket: &state.CreateBucket{Bucket: b, Props: p, Creator: creator, Owner: owner, Configs: configs}})
}

// SetBucketProps replaces the properties of a bucket; see CreateBucket. It is refused with KindConflict when they are not what
// they were when the new ones were made of them. When they ask for another layout it returns when the bucket has it; its
// objects are moved afterwards.
func (c *Control) SetBucketProps(ctx context.Context, req cluster.RequestID, b cluster.Bucket, was, p cluster.BucketProps) (cluster.BucketEntry, error) {
	const op = "control.SetBucketProps"
	return c.changeBucket(ctx, op, b, state.Command{Request: req, SetBucketProps: &state.SetBucketProps{Bucket: b, Was: &was, Props: p}})
}

// SetBucketConfig replaces the document of a kind that configures a bucket; no value removes it. See CreateBucket.
func (c *Control) SetBucketConfig(ctx context.Context, req cluster.RequestID, b cluster.Bucket, kind string, value []byte) error {
	const op = "control.SetBucketConfig"
	set := &state.SetBucketConfig{Bucket: b, Config: &cluster.BucketConfig{Kind: kind, Value: value}}
	_, err := c.changeBucket(ctx, op, b, state.Command{Request: req, SetBucketConfig: set})
	return err
}

// DeleteBucket removes a bucket that is empty: the targets stop its writes and prove it empty, then it is removed
// everywhere, or active again with KindBucketNotEmpty, or KindUnavailable when a target could not be asked.
func (c *Control) DeleteBucket(ctx context.Context, req cluster.RequestID, b cluster.Bucket) error {
	const op = "control.DeleteBucket"
	_, err := c.changeBucket(ctx, op, b, state.Command{Request: req, BeginDelete: &state.BeginDelete{Bucket: b}})
	return err
}

// SetSettings sets cluster-wide settings; an empty value goes back to the default. See CreateBucket.
func (c *Control) SetSettings(ctx context.Context, req cluster.RequestID, values map[string]string) error {
	const op = "control.SetSettings"
	a, err := c.change(ctx, state.Command{Request: req, SetSettings: &state.SetSettings{Values: values}})
	if err != nil {
		return cluster.E(op, "", cluster.KindOther, err)
	}
	return a.Result.Err(op)
}

// ChangeIdentities puts and removes identities and keys in one step, whose secrets are sealed here. It is refused with
// KindConflict when the identities have changed since the version that the change was made from. See CreateBucket.
func (c *Control) ChangeIdentities(ctx context.Context, req cluster.RequestID, change cluster.IdentityChange, keys []Key, removed []cluster.AccessKeyID) error {
	const op = "control.ChangeIdentities"
	cmd := &state.ChangeIdentities{Change: change, RemoveKeys: removed}
	for _, k := range keys {
		sealed, err := c.options.Keyring.Seal([]byte(k.Secret))
		if err != nil {
			return cluster.E(op, string(k.ID), cluster.KindOther, err)
		}
		cmd.Keys = append(cmd.Keys, state.Key{
			ID: k.ID, Sealed: sealed, User: k.User, Inactive: k.Inactive, Created: k.Created, Redirect: k.Redirect,
		})
	}
	a, err := c.change(ctx, state.Command{Request: req, ChangeIdentities: cmd})
	if err != nil {
		return cluster.E(op, "", cluster.KindOther, err)
	}
	return a.Result.Err(op)
}

// Seal seals a secret under the cluster key, so that every node of the cluster can open it and nobody else.
func (c *Control) Seal(plain []byte) ([]byte, error) { return c.options.Keyring.Seal(plain) }

// Open opens what a node of the cluster sealed.
func (c *Control) Open(sealed []byte) ([]byte, error) { return c.options.Keyring.Open(sealed) }

func (c *Control) changeBucket(ctx context.Context, op string, b cluster.Bucket, cmd state.Command) (cluster.BucketEntry, error) {
	a, err := c.change(ctx, cmd)
	if err == nil {
		err = a.Result.Err(op)
	}
	if err != nil {
		return cluster.BucketEntry{}, cluster.E(op, b.String(), cluster.KindOther, err)
	}
	e, _ := entry(a.Result.Bucket, a.Result.Bucket != nil)
	return e, nil
}

// change has the leader carry a command out, whoever leads, and returns when its result is certain everywhere, here too.
// The same command is sent again until then: its request id makes that safe.
func (c *Control) change(ctx context.Context, cmd state.Command) (changed, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	const op = "control.change"
	question := change{Version: messageVersion, Command: cmd}
	var a changed
	err := c.insist(ctx, op, c.options.Lease*3/2, func(ctx context.Context) error { // it may take as long as a lease that has to end
		return c.callLeader(ctx, methodChange, question, &a)
	})
	if err != nil {
		return changed{}, err
	}
	if err := c.Wait(ctx, func(v *View) bool { return v.Index() >= a.Result.Index }); err != nil {
		// The change is made. This node is out of touch, and says so to whoever asks it.
		c.log.Info("a change is made that has not arrived here yet", "index", a.Result.Index)
	}
	return a, nil
}

// insist tries something, each time within a limit, until it succeeds, or cannot succeed anywhere, or the context ends.
func (c *Control) insist(ctx context.Context, op string, limit time.Duration, try func(context.Context) error) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, limit)
		err := try(attempt)
		cancel()
		switch {
		case err == nil:
			return nil
		case definite(err):
			return cluster.E(op, "", cluster.KindOther, err)
		case !sleep(ctx, retryPause):
			return cluster.E(op, "", cluster.KindUnavailable, err)
		}
	}
}

// definite reports whether an error of a call says that the call cannot succeed anywhere.
func definite(err error) bool {
	return cluster.Is(err, cluster.KindInvalid) || cluster.Is(err, cluster.KindNotImplemented) ||
		cluster.Is(err, cluster.KindDenied) || cluster.Is(err, cluster.KindConflict)
}

// handleChange carries a control change out on the leader.
func (c *Control) handleChange(ctx context.Context, q change) (changed, error) {
	const op = "control.handleChange"
	t := c.term.Load()
	if t == nil {
		return changed{}, noLeader()
	}
	if q.Command.Request == "" {
		return changed{}, cluster.Fail(op, "", cluster.KindInvalid, "a control change needs a request id")
	}
	if create := q.Command.CreateBucket; create != nil {
		if create.Props.Replicas == 0 && create.Props.Data == 0 {
			decided, v := *create, t.View()
			decided.Props.Replicas = config.NewReplicas(v.Setting, weighed(v.Map().Targets()))
			create, q.Command.CreateBucket = &decided, &decided
		}
		if err := t.ensureLayout(ctx, create.Props.Layout()); err != nil {
			return changed{}, err
		}
	}
	if set := q.Command.SetBucketProps; set != nil {
		if err := t.ensureLayout(ctx, set.Props.Layout()); err != nil {
			return changed{}, err
		}
	}
	if begin := q.Command.BeginDelete; begin != nil {
		if err := t.awaitMoved(ctx, begin.Bucket); err != nil {
			return changed{}, err
		}
	}
	result, err := t.propose(ctx, q.Command)
	if err == nil && result.Begun {
		result, err = t.outcome(ctx, q.Command.Request)
	}
	if err == nil {
		err = t.everywhere(ctx, result.Index)
	}
	return changed{Version: messageVersion, Result: result}, err
}
