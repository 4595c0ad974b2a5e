package front

import (
	"context"
	"net/http"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
)

// nativeKMS shows and changes encryption keys.
func (f *Front) nativeKMS(ctx context.Context, r *nativeRequest) error {
	if r.req.Method == http.MethodGet && r.action.Action == "" {
		r.rep.Operation = "native.ShowEncryptionKeys"
		return f.encryptionKeys(ctx, r)
	}
	change := map[string]func(context.Context, cluster.RequestID, string) error{
		api.ActionAddKey: f.o.Control.AddEncryptionKey, api.ActionRotateKey: f.o.Control.RotateEncryptionKey,
		api.ActionResealKey: f.o.Control.ResealEncryptionKey, api.ActionRemoveKey: f.o.Control.RemoveEncryptionKey,
	}[r.action.Action]
	if r.req.Method != http.MethodPost || change == nil {
		return r.notImplemented()
	}
	r.rep.Operation = "native.ChangeEncryptionKeys"
	var msg api.EncryptionKeyMsg
	if err := r.action.Decode(&msg); err != nil {
		return err
	}
	if err := checkKeyName(msg.Name); err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	return change(ctx, r.req.ID, msg.Name)
}

// checkKeyName refuses names that clients could not write, or would take for an alias or ARN.
func checkKeyName(name string) error {
	const op = "proxy/front.checkKeyName"
	plain := strings.ContainsFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_./", c))
	})
	if name == "" || len(name) > cluster.MaxKeyName || plain || strings.HasPrefix(name, "alias/") || strings.HasPrefix(name, "key/") {
		return cluster.Fail(op, name, cluster.KindInvalid, "the name of an encryption key has 1 to 256 letters, digits, '-', '_', '.' and '/', and does not begin with alias/ or key/")
	}
	return nil
}

func (f *Front) encryptionKeys(ctx context.Context, r *nativeRequest) error {
	view, err := f.o.Control.Latest(ctx)
	if err != nil {
		return err
	}
	list := []api.EncryptionKey{}
	for _, k := range view.EncryptionKeys() {
		sealed := "cluster"
		if k.Master {
			sealed = "master"
		}
		list = append(list, api.EncryptionKey{Name: k.Name, Created: k.Created, Rotated: k.Rotated, Versions: k.Versions, Sealed: sealed, Opens: k.Opens})
	}
	return r.json(list)
}
