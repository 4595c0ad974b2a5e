package client

import (
	"context"
	"net/http"

	"github.com/aisle-store/aisle/cluster/api"
)

// EncryptionKeys returns what there is to tell of the encryption keys.
func (c *Client) EncryptionKeys(ctx context.Context) ([]api.EncryptionKey, error) {
	var list []api.EncryptionKey
	err := c.call(ctx, &request{op: "proxy/client.EncryptionKeys", method: http.MethodGet, path: api.KMS}, &list)
	return list, err
}

// ChangeEncryptionKey adds, rotates, seals anew or removes an encryption key: what is one of the actions of api.KMS.
func (c *Client) ChangeEncryptionKey(ctx context.Context, what, name string) error {
	const op = "proxy/client.ChangeEncryptionKey"
	r, err := action(op, http.MethodPost, api.KMS, nil, what, api.EncryptionKeyMsg{Name: name})
	if err != nil {
		return err
	}
	return c.call(ctx, r, nil)
}
