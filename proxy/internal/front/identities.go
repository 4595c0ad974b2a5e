package front

import (
	"context"
	"strconv"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/proxy/internal/access"
)

// editAttempts is how often a change of identities begins anew because others were changed meanwhile.
const editAttempts = 64

// editor returns the identities as they are, to be read or changed.
func (f *Front) editor(view *control.View) *access.Edit {
	var keys []access.Key
	for _, k := range view.Keys() {
		keys = append(keys, access.Key{ID: k.ID, User: k.User, Root: k.Root, Inactive: k.Inactive, Created: k.Created, Redirect: k.Redirect})
	}
	return access.NewEdit(view.Identities(), keys, f.o.Now())
}

// edit makes a change of identities, which binds at every node when it returns. make is called again when others were changed
// between.
func (f *Front) edit(ctx context.Context, req cluster.RequestID, make func(*access.Edit) error) error {
	for attempt := 1; ; attempt++ {
		view, err := f.o.Control.Latest(ctx)
		if err != nil {
			return err
		}
		e := f.editor(view)
		if err := make(e); err != nil {
			return err
		}
		change, put, removed := e.Change()
		var keys []control.Key
		for _, k := range put {
			secret := k.Secret
			if secret == "" {
				old, _ := view.Key(k.ID)
				secret = old.Secret
			}
			keys = append(keys, control.Key{ID: k.ID, Secret: secret, User: k.User, Inactive: k.Inactive, Created: k.Created, Redirect: k.Redirect})
		}
		id := req + cluster.RequestID("."+strconv.Itoa(attempt))
		err = f.o.Control.ChangeIdentities(ctx, id, change, keys, removed)
		if !cluster.Is(err, cluster.KindConflict) || attempt == editAttempts {
			return err
		}
	}
}
