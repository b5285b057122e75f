package backspace

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// A page of Tasks can be large: 200 of them, each with cut texts of up to 64 KiB.
const maxAnswerBytes = 64 * 1024 * 1024

// Plaintext says whether http:// may be used to another machine: token and code could be read on the way.
type Plaintext int

const (
	// LoopbackOnly allows it to this machine.
	LoopbackOnly Plaintext = iota
	// Anywhere allows it to any machine: something else protects the connection.
	Anywhere
)

// Options say how to connect. The zero value is right for a server on this machine.
type Options struct {
	// Token is sent as a bearer token with every call.
	Token string
	// TLS has what the server is trusted by and what is shown to it; the system's certificates when nil.
	TLS *tls.Config
	// Plaintext says whether http:// may be used to another machine.
	Plaintext Plaintext
	// CallTimeout is the longest time for a call that answers once, 30 s by default.
	CallTimeout time.Duration
	// Reconnect says when and for how long lost streams are opened again.
	Reconnect Reconnect
	// UserAgent is put before this SDK's own name in the user agent.
	UserAgent string
	// DialOptions are added to those of this package.
	DialOptions []grpc.DialOption
}

func (o Options) dialOptions(secure bool) ([]grpc.DialOption, error) {
	transport := insecure.NewCredentials()
	if secure {
		transport = credentials.NewTLS(o.TLS)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent(strings.TrimSpace(o.UserAgent + " backspace-sdk-go/" + Version)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)),
		// A peer that is gone without a word is noticed in 40 s; the server does the same from its side.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true,
		}),
		// The stream's own delays decide; a connection that waits longer would only hide them.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 10 * time.Second,
		}),
	}
	if o.Token != "" {
		token, err := newBearer(o.Token)
		if err != nil {
			return nil, err
		}
		options = append(options, grpc.WithPerRPCCredentials(token))
	}
	return append(options, o.DialOptions...), nil
}

// bearer puts the token on each call.
type bearer struct{ header string }

func newBearer(token string) (bearer, error) {
	// Files end with a line break.
	token = strings.TrimSpace(token)
	if token == "" {
		return bearer{}, &AddressError{"the token is empty"}
	}
	for _, character := range token {
		if character < '!' || character > '~' {
			return bearer{}, &AddressError{"the token holds a character that a header cannot carry; only printable ASCII is allowed"}
		}
	}
	return bearer{"Bearer " + token}, nil
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": b.header}, nil
}

// RequireTransportSecurity is false: whether plaintext is allowed was decided by the address.
func (b bearer) RequireTransportSecurity() bool { return false }

// parseAddress reads https://host[:port], http://host[:port] or host:port. An address without a scheme is http on
// loopback and https elsewhere.
func parseAddress(address string, plaintext Plaintext) (target string, secure bool, err error) {
	refuse := func(reason string) (string, bool, error) {
		return "", false, &AddressError{fmt.Sprintf("the server address %q %s", address, reason)}
	}
	trimmed := strings.TrimSpace(address)
	whole := trimmed
	if !strings.Contains(trimmed, "://") {
		whole = "//" + trimmed
	}
	parsed, err := url.Parse(whole)
	if err != nil {
		return refuse("cannot be read; write it as https://host:port, or http://127.0.0.1:8000 on this machine")
	}
	host := parsed.Hostname()
	switch {
	case parsed.User != nil:
		return refuse("holds a user or password; give a token instead")
	case host == "":
		return refuse("names no host")
	case (parsed.Path != "" && parsed.Path != "/") || parsed.RawQuery != "" || parsed.Fragment != "":
		return refuse("has a path or query; a server is named by scheme, host and port alone")
	}
	ip := net.ParseIP(host)
	loopback := strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
	scheme := parsed.Scheme
	if scheme == "" {
		scheme = "https"
		if loopback {
			scheme = "http"
		}
	}
	port := parsed.Port()
	switch {
	case scheme == "https":
		if port == "" {
			port = "443"
		}
	case scheme != "http":
		return refuse("has an unknown scheme; use https, or http on this machine")
	case !loopback && plaintext != Anywhere:
		return refuse("is http to another machine, which would show token and code to the network; use https, or allow " +
			"plaintext if a tunnel protects it")
	case port == "":
		port = "80"
	}
	return net.JoinHostPort(host, port), scheme == "https", nil
}
