package backspace

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	backspacev1 "github.com/backspace-dev/backspace/sdk/go/backspace/v1"
)

const taskName = "tasks/t1"

// ending is how one stream goes: how many events come (all when negative), what it ends with, which one is left
// out, and whether all come again.
type ending struct {
	after     int
	err       error
	leftOut   uint64
	fromStart bool
}

func closed(after int) ending { return ending{after: after} }

func failed(after int) ending {
	return ending{after: after, err: status.Error(codes.Internal, "h2 protocol error: reset")}
}

func refused(err error) ending { return ending{err: err} }

func hole(leftOut uint64) ending { return ending{after: -1, leftOut: leftOut} }

func ofTheServer(code codes.Code, retryAfter time.Duration, violations ...*errdetails.BadRequest_FieldViolation) error {
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{
		Reason: "REASON_X", Domain: ErrorDomain, Metadata: map[string]string{"key": "value"},
	}}
	if retryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	if len(violations) > 0 {
		details = append(details, &errdetails.BadRequest{FieldViolations: violations})
	}
	state, err := status.New(code, "no").WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return state.Err()
}

// eventLog is a log of so many events, the last of them TaskFinished; texts of different sizes in between.
func eventLog(length uint64) []*backspacev1.TaskEvent {
	var events []*backspacev1.TaskEvent
	for sequence := uint64(1); sequence < length; sequence++ {
		message := &backspacev1.AssistantMessage{Text: strings.Repeat("x", int(sequence*37%900))}
		events = append(events, &backspacev1.TaskEvent{
			Sequence: sequence, Payload: &backspacev1.TaskEvent_AssistantMessage{AssistantMessage: message},
		})
	}
	task := &backspacev1.Task{Name: taskName, State: backspacev1.Task_STATE_SUCCEEDED, LastSequence: length}
	finished := &backspacev1.TaskEvent_TaskFinished{TaskFinished: &backspacev1.TaskFinished{Task: task}}
	return append(events, &backspacev1.TaskEvent{Sequence: length, Payload: finished})
}

func live(attempt uint32, offset uint64, text string) *backspacev1.TaskEvent {
	delta := &backspacev1.AssistantDelta{Turn: 1, Attempt: attempt, Offset: offset, Text: text}
	return &backspacev1.TaskEvent{Payload: &backspacev1.TaskEvent_AssistantDelta{AssistantDelta: delta}}
}

func artifactBytes() []byte {
	var whole []byte
	for number := range uint32(25_000) {
		whole = binary.BigEndian.AppendUint32(whole, number)
	}
	return whole
}

// fake is a server of the contract: one Task whose log is given, and streams that go wrong as told.
type fake struct {
	backspacev1.UnimplementedAgentServiceServer
	address string
	events  []*backspacev1.TaskEvent

	lock    sync.Mutex
	endings []ending
	calls   []string
	headers []metadata.MD
}

// serve serves on a free port of this machine until the test ends.
func serve(t *testing.T, events []*backspacev1.TaskEvent, endings ...ending) *fake {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := &fake{address: listener.Addr().String(), events: events, endings: endings}
	server := grpc.NewServer()
	backspacev1.RegisterAgentServiceServer(server, served)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return served
}

func (f *fake) seen() []string {
	f.lock.Lock()
	defer f.lock.Unlock()
	return slices.Clone(f.calls)
}

func (f *fake) begin(ctx context.Context, call string) ending {
	f.lock.Lock()
	defer f.lock.Unlock()
	headers, _ := metadata.FromIncomingContext(ctx)
	f.calls, f.headers = append(f.calls, call), append(f.headers, headers)
	if len(f.endings) == 0 {
		return closed(-1)
	}
	next := f.endings[0]
	f.endings = f.endings[1:]
	return next
}

func (f *fake) stream(goes ending, afterSequence uint64, send func(*backspacev1.TaskEvent) error) error {
	sent := 0
	if goes.fromStart {
		afterSequence = 0
	}
	for _, event := range f.events {
		if event.Sequence != 0 && (event.Sequence <= afterSequence || event.Sequence == goes.leftOut) {
			continue
		}
		if sent == goes.after {
			break
		}
		if err := send(event); err != nil {
			return err
		}
		sent++
	}
	return goes.err
}

func (f *fake) RunTask(request *backspacev1.RunTaskRequest, to grpc.ServerStreamingServer[backspacev1.RunTaskResponse]) error {
	goes, name := f.begin(to.Context(), "run "+request.RequestId), taskName
	return f.stream(goes, 0, func(event *backspacev1.TaskEvent) error {
		response := &backspacev1.RunTaskResponse{Task: name, Event: event}
		name = ""
		return to.Send(response)
	})
}

func (f *fake) WatchTask(request *backspacev1.WatchTaskRequest, to grpc.ServerStreamingServer[backspacev1.WatchTaskResponse]) error {
	goes := f.begin(to.Context(), fmt.Sprintf("watch %d", request.AfterSequence))
	return f.stream(goes, request.AfterSequence, func(event *backspacev1.TaskEvent) error {
		return to.Send(&backspacev1.WatchTaskResponse{Event: event})
	})
}

func (f *fake) ReadArtifact(request *backspacev1.ReadArtifactRequest, to grpc.ServerStreamingServer[backspacev1.ReadArtifactResponse]) error {
	goes := f.begin(to.Context(), fmt.Sprintf("read %d", request.Offset))
	sent := 0
	for piece := range slices.Chunk(artifactBytes()[request.Offset:], 1_000) {
		if sent == goes.after {
			break
		}
		if err := to.Send(&backspacev1.ReadArtifactResponse{Data: piece}); err != nil {
			return err
		}
		sent++
	}
	return goes.err
}

func (f *fake) GetTask(ctx context.Context, _ *backspacev1.GetTaskRequest) (*backspacev1.GetTaskResponse, error) {
	task := f.events[len(f.events)-1].GetTaskFinished().GetTask()
	return &backspacev1.GetTaskResponse{Task: task}, f.begin(ctx, "get").err
}

func (f *fake) CancelTask(ctx context.Context, request *backspacev1.CancelTaskRequest) (*backspacev1.CancelTaskResponse, error) {
	task := &backspacev1.Task{Name: request.Name, CancelRequested: true}
	return &backspacev1.CancelTaskResponse{Task: task}, f.begin(ctx, "cancel "+request.Reason).err
}

func (f *fake) ListTasks(ctx context.Context, request *backspacev1.ListTasksRequest) (*backspacev1.ListTasksResponse, error) {
	err := f.begin(ctx, "list "+request.PageToken).err
	if request.PageToken == "" {
		return &backspacev1.ListTasksResponse{Tasks: []*backspacev1.Task{{Name: "tasks/b"}}, NextPageToken: "more"}, err
	}
	return &backspacev1.ListTasksResponse{Tasks: []*backspacev1.Task{{Name: "tasks/a"}}}, err
}

func (f *fake) GetServerInfo(ctx context.Context, _ *backspacev1.GetServerInfoRequest) (*backspacev1.GetServerInfoResponse, error) {
	return &backspacev1.GetServerInfoResponse{Version: "1"}, f.begin(ctx, "info").err
}
