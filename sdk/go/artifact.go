package backspace

import (
	"context"
	"io"

	"google.golang.org/grpc"

	backspacev1 "github.com/backspace-dev/backspace/sdk/go/backspace/v1"
)

// artifact reads an artifact and goes on at the byte reached when the connection is lost.
type artifact struct {
	ctx      context.Context
	cancel   context.CancelFunc
	client   *Client
	name     string
	offset   uint64
	rest     []byte
	stream   grpc.ServerStreamingClient[backspacev1.ReadArtifactResponse]
	patience patience
	end      error
}

// Read implements io.Reader.
func (a *artifact) Read(into []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.end != nil {
			return 0, a.end
		}
		if err := a.step(); err != nil {
			a.end = err
		}
	}
	copied := copy(into, a.rest)
	a.rest = a.rest[copied:]
	return copied, nil
}

// Close implements io.Closer.
func (a *artifact) Close() error {
	a.cancel()
	return nil
}

// step brings more bytes, or waits after a failure; an error is the end.
func (a *artifact) step() error {
	var err error
	if a.stream == nil {
		request := &backspacev1.ReadArtifactRequest{Name: a.name, Offset: a.offset}
		a.stream, err = a.client.raw.ReadArtifact(a.ctx, request)
	}
	if err == nil {
		var response *backspacev1.ReadArtifactResponse
		if response, err = a.stream.Recv(); err == nil {
			a.rest = response.Data
			a.offset += uint64(len(response.Data))
			a.patience.heard()
			return nil
		}
	}
	a.stream = nil
	if err == io.EOF {
		return err
	}
	if a.ctx.Err() != nil {
		return a.ctx.Err()
	}
	interruption, err := a.patience.fail(callError(err), "", 0)
	if err != nil {
		return err
	}
	wait(a.ctx, interruption.Delay)
	return nil
}
