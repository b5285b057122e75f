package backspace

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	backspacev1 "github.com/backspace-dev/backspace/sdk/go/backspace/v1"
)

// Client is a client of one server. It makes its connection with the first call, and again when it is lost. It may be
// used by several goroutines.
//
// Calls are not repeated here: only the caller knows whether to wait. A TaskRun and an artifact do go on by themselves.
type Client struct {
	connection  *grpc.ClientConn
	raw         backspacev1.AgentServiceClient
	address     string
	callTimeout time.Duration
	reconnect   Reconnect
}

// Connect connects to a server: https://host[:port], or http:// or no scheme on this machine. It asks the server what
// it is, so that a wrong address or token fails at once and not in the middle of a run.
func Connect(ctx context.Context, address string, options Options) (*Client, error) {
	client, err := New(address, options)
	if err != nil {
		return nil, err
	}
	if _, err := client.ServerInfo(ctx); err != nil {
		_ = client.Close()
		var call *CallError
		if ctx.Err() == nil && errors.As(err, &call) && call.Origin == Transport && call.Retryable() {
			return nil, &UnreachableError{Address: client.address, Cause: call}
		}
		return nil, err
	}
	return client, nil
}

// New is as Connect, but makes the connection with the first call.
func New(address string, options Options) (*Client, error) {
	target, secure, err := parseAddress(address, options.Plaintext)
	if err != nil {
		return nil, err
	}
	dial, err := options.dialOptions(secure)
	if err != nil {
		return nil, err
	}
	connection, err := grpc.NewClient(target, dial...)
	if err != nil {
		return nil, &AddressError{err.Error()}
	}
	timeout := options.CallTimeout
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	return &Client{
		connection:  connection,
		raw:         backspacev1.NewAgentServiceClient(connection),
		address:     strings.TrimSpace(address),
		callTimeout: timeout,
		reconnect:   options.Reconnect.withDefaults(),
	}, nil
}

// Close closes the connection; runs that use it end.
func (c *Client) Close() error { return c.connection.Close() }

// Raw returns the generated client, for a call made in one's own way.
func (c *Client) Raw() backspacev1.AgentServiceClient { return c.raw }

// RunTask runs a Task: its events, which go on by themselves when the connection is lost, until the context ends.
func (c *Client) RunTask(ctx context.Context, spec *backspacev1.TaskSpec, options ...RunOption) *TaskRun {
	run := newRun(ctx, c, options)
	run.opening.RequestId = orNew(run.opening.RequestId)
	run.opening.Spec = spec
	return run
}

// Watch watches a Task, tasks/{id}, from after the sequence given; 0 is from the beginning.
func (c *Client) Watch(ctx context.Context, task string, afterSequence uint64, options ...RunOption) *TaskRun {
	run := newRun(ctx, c, options)
	run.task, run.lastSequence = task, afterSequence
	return run
}

// ReadArtifact reads an artifact, tasks/{id}/artifacts/{artifact}: the whole patch, a tool's output, the log. A lost
// connection is opened again at the byte reached. The bytes come as they were stored: whoever shows them on a terminal
// has to escape them.
func (c *Client) ReadArtifact(ctx context.Context, name string) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	return &artifact{ctx: ctx, cancel: cancel, client: c, name: name, patience: patience{reconnect: c.reconnect}}
}

// CreateTask starts a Task and returns at once. A request id that is empty is chosen; one of the caller's (a UUID),
// repeated, joins the first Task.
func (c *Client) CreateTask(ctx context.Context, spec *backspacev1.TaskSpec, requestID string) (*backspacev1.Task, error) {
	request := &backspacev1.CreateTaskRequest{Spec: spec, RequestId: orNew(requestID)}
	response, err := call(ctx, c, c.raw.CreateTask, request)
	return response.GetTask(), err
}

// GetTask returns a Task.
func (c *Client) GetTask(ctx context.Context, name string) (*backspacev1.Task, error) {
	response, err := call(ctx, c, c.raw.GetTask, &backspacev1.GetTaskRequest{Name: name})
	return response.GetTask(), err
}

// ListTasks iterates over the caller's Tasks, newest first, in one of the states or in any; page after page.
func (c *Client) ListTasks(ctx context.Context, states ...backspacev1.Task_State) iter.Seq2[*backspacev1.Task, error] {
	return func(yield func(*backspacev1.Task, error) bool) {
		request := &backspacev1.ListTasksRequest{States: states}
		for {
			response, err := call(ctx, c, c.raw.ListTasks, request)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, task := range response.Tasks {
				if !yield(task, nil) {
					return
				}
			}
			if response.NextPageToken == "" {
				return
			}
			request.PageToken = response.NextPageToken
		}
	}
}

// CancelTask asks a Task to stop; it has stopped when its events end.
func (c *Client) CancelTask(ctx context.Context, name, reason string) (*backspacev1.Task, error) {
	response, err := call(ctx, c, c.raw.CancelTask, &backspacev1.CancelTaskRequest{Name: name, Reason: reason})
	return response.GetTask(), err
}

// SendMessage sends a message into a Task, and returns the Task that will act on it. A request id is filled in when it
// is empty.
func (c *Client) SendMessage(ctx context.Context, request *backspacev1.SendMessageRequest) (*backspacev1.Task, error) {
	// The caller may use its own again for another message.
	request = proto.CloneOf(request)
	request.RequestId = orNew(request.RequestId)
	response, err := call(ctx, c, c.raw.SendMessage, request)
	return response.GetTask(), err
}

// DeleteTask deletes a terminal Task with its events and artifacts.
func (c *Client) DeleteTask(ctx context.Context, name string) error {
	_, err := call(ctx, c, c.raw.DeleteTask, &backspacev1.DeleteTaskRequest{Name: name})
	return err
}

// ServerInfo returns what the server is and can do.
func (c *Client) ServerInfo(ctx context.Context) (*backspacev1.GetServerInfoResponse, error) {
	return call(ctx, c, c.raw.GetServerInfo, &backspacev1.GetServerInfoRequest{})
}

func orNew(requestID string) string {
	if requestID == "" {
		return uuid.NewString()
	}
	return requestID
}

func call[Request, Response any](
	ctx context.Context, client *Client,
	method func(context.Context, *Request, ...grpc.CallOption) (*Response, error), request *Request,
) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, client.callTimeout)
	defer cancel()
	response, err := method(ctx, request)
	if err != nil {
		return nil, callError(err)
	}
	return response, nil
}
