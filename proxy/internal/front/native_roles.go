package front

import (
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/internal/access"
)

func addRole(e *access.Edit, msg *api.IdentityMsg) (api.Identity, error) {
	r, err := e.CreateRole(cluster.RoleName(msg.Name), "", "", msg.Document, msg.Seconds)
	if err == nil && msg.Policies != nil {
		err = e.SetAttached(access.Whose{Role: r.Name}, *msg.Policies)
	}
	if err != nil {
		return api.Identity{}, err
	}
	r, err = e.Role(r.Name)
	return showRole(e, r), err
}

func setRole(e *access.Edit, msg *api.IdentityMsg) (api.Identity, error) {
	r, err := e.Role(cluster.RoleName(msg.Name))
	if err == nil {
		err = e.UpdateRole(r.Name, nil, msg.Seconds)
	}
	if err == nil && msg.Document != "" {
		err = e.SetTrust(r.Name, msg.Document)
	}
	if err == nil && msg.Policies != nil {
		err = e.SetAttached(access.Whose{Role: r.Name}, *msg.Policies)
	}
	if err != nil {
		return api.Identity{}, err
	}
	r, err = e.Role(r.Name)
	return showRole(e, r), err
}

func showRole(e *access.Edit, r cluster.Role) api.Identity {
	return api.Identity{
		Kind: api.IdentityRole, Name: string(r.Name), ARN: r.ARN(), ID: r.ID, Created: r.Created, Policies: r.Attached, Inline: r.Inline,
		Document: e.Trust(&r), Help: r.Description, Seconds: r.MaxSeconds,
	}
}

// providerNamed returns the ARN of an issuer of web identities that is named by it, by its URL, or by that without its scheme.
func providerNamed(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	return (&cluster.OIDCProvider{URL: name}).ARN()
}

func addProvider(e *access.Edit, msg *api.IdentityMsg) (api.Identity, error) {
	p, err := e.CreateProvider(msg.Name, listed(msg.Clients), listed(msg.Thumbprints))
	return showProvider(p), err
}

func setProvider(e *access.Edit, msg *api.IdentityMsg) (api.Identity, error) {
	arn := providerNamed(msg.Name)
	p, err := e.Provider(arn)
	if err == nil && msg.Clients != nil {
		for _, c := range p.Clients {
			if err := e.RemoveClient(arn, c); err != nil {
				return api.Identity{}, err
			}
		}
		for _, c := range *msg.Clients {
			if err := e.AddClient(arn, c); err != nil {
				return api.Identity{}, err
			}
		}
	}
	if err == nil && msg.Thumbprints != nil {
		err = e.SetThumbprints(arn, *msg.Thumbprints)
	}
	if err != nil {
		return api.Identity{}, err
	}
	p, err = e.Provider(arn)
	return showProvider(p), err
}

func showProvider(p cluster.OIDCProvider) api.Identity {
	return api.Identity{Kind: api.IdentityProvider, Name: p.URL, ARN: p.ARN(), Created: p.Created, Clients: p.Clients, Thumbprints: p.Thumbprints}
}

func listed(list *[]string) []string {
	if list == nil {
		return nil
	}
	return *list
}
