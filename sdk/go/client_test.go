package backspace

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	backspacev1 "github.com/backspace-dev/backspace/sdk/go/backspace/v1"
)

func TestTheTokenGoesWithEveryCall(t *testing.T) {
	served := serve(t, eventLog(2))
	client, err := Connect(t.Context(), served.address, Options{Token: " secret\n"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := all(client.Watch(t.Context(), taskName, 0)); err != nil {
		t.Fatal(err)
	}
	if task, err := client.CancelTask(t.Context(), taskName, "no longer needed"); err != nil || !task.CancelRequested {
		t.Fatal(task, err)
	}
	expectCalls(t, served, "info", "watch 0", "cancel no longer needed")
	for _, headers := range served.headers {
		if got := headers.Get("authorization"); !reflect.DeepEqual(got, []string{"Bearer secret"}) {
			t.Fatal(got)
		}
		if agent := headers.Get("user-agent")[0]; !strings.HasPrefix(agent, "backspace-sdk-go/") {
			t.Fatal(agent)
		}
	}
	for _, bad := range []string{" \n", "two words", "line\nbreak", "ünïcode"} {
		var address *AddressError
		if _, err := New("localhost", Options{Token: bad}); !errors.As(err, &address) || strings.Contains(err.Error(), "ünïcode") {
			t.Fatal(bad, err)
		}
	}
}

func TestEveryViolationIsTold(t *testing.T) {
	served := serve(t, eventLog(2), refused(ofTheServer(codes.InvalidArgument, 0,
		&errdetails.BadRequest_FieldViolation{Field: "spec.instruction", Description: "must not be empty"},
		&errdetails.BadRequest_FieldViolation{Field: "spec.repository.url", Description: "is no address"},
	)))
	_, err := clientOf(t, served, impatient).GetTask(t.Context(), taskName)
	if err == nil || err.Error() != "no; spec.instruction: must not be empty; spec.repository.url: is no address" {
		t.Fatal(err)
	}
	var call *CallError
	if !errors.As(err, &call) || len(call.Violations) != 2 || call.Retryable() {
		t.Fatalf("%+v", call)
	}
}

func TestAnAnswerIsToldFromAFaultOfTheConnection(t *testing.T) {
	second := time.Second
	table := []struct {
		origin     Origin
		code       codes.Code
		retryAfter *time.Duration
		expected   bool
	}{
		{Server, codes.Unavailable, nil, true},
		{Server, codes.Internal, nil, false},
		{Server, codes.NotFound, nil, false},
		{Server, codes.ResourceExhausted, nil, false},
		{Server, codes.ResourceExhausted, &second, true},
		{Transport, codes.Internal, nil, true},
		{Transport, codes.Canceled, nil, true},
		{Transport, codes.Unknown, nil, true},
		{Transport, codes.Unauthenticated, nil, false},
		{Transport, codes.Unimplemented, nil, false},
	}
	for _, row := range table {
		failed := &CallError{Code: row.code, RetryAfter: row.retryAfter, Origin: row.origin}
		if failed.Retryable() != row.expected {
			t.Errorf("%+v", row)
		}
	}
	foreign, _ := status.New(codes.Internal, "no").WithDetails(&errdetails.ErrorInfo{Reason: "X", Domain: "proxy.example"})
	if failed := callError(foreign.Err()); failed.Origin != Transport || failed.Reason != "" {
		t.Errorf("%+v", failed)
	}
}

func TestPagesAreTurned(t *testing.T) {
	served := serve(t, eventLog(2))
	var names []string
	for task, err := range clientOf(t, served, impatient).ListTasks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, task.Name)
	}
	if !reflect.DeepEqual(names, []string{"tasks/b", "tasks/a"}) {
		t.Fatal(names)
	}
	expectCalls(t, served, "list ", "list more")
}

func TestAnArtifactIsWholeHoweverOftenItIsCut(t *testing.T) {
	served := serve(t, eventLog(2), failed(3), failed(0), ending{after: 5, err: ofTheServer(codes.Unavailable, time.Millisecond)})
	artifact := clientOf(t, served, impatient).ReadArtifact(t.Context(), "x")
	defer artifact.Close()
	whole, err := io.ReadAll(artifact)
	if err != nil || !bytes.Equal(whole, artifactBytes()) {
		t.Fatal(len(whole), err)
	}
	expectCalls(t, served, "read 0", "read 3000", "read 3000", "read 8000")
}

func TestWhereNothingListensIsSaidAtOnce(t *testing.T) {
	_, err := Connect(t.Context(), "127.0.0.1:1", Options{})
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Fatal(err)
	}
}

func TestAddresses(t *testing.T) {
	accepted := []struct {
		address, target string
		secure          bool
	}{
		{"https://code.example", "code.example:443", true},
		{"https://code.example:8443/", "code.example:8443", true},
		{"code.example:8443", "code.example:8443", true},
		{"127.0.0.1:8000", "127.0.0.1:8000", false},
		{"localhost:8000", "localhost:8000", false},
		{"[::1]:8000", "[::1]:8000", false},
		{"http://127.9.9.9:1", "127.9.9.9:1", false},
		{" https://code.example ", "code.example:443", true},
	}
	for _, row := range accepted {
		target, secure, err := parseAddress(row.address, LoopbackOnly)
		if target != row.target || secure != row.secure || err != nil {
			t.Errorf("%+v: %s %v %v", row, target, secure, err)
		}
	}
	refused := []struct{ address, reason string }{
		{"", "names no host"},
		{"http://", "names no host"},
		{"http://code.example:8000", "another machine"},
		{"http://127.0.0.1.evil.example", "another machine"},
		{"http://localhost.evil.example", "another machine"},
		{"https://user:secret@code.example", "user or password"},
		{"http://localhost@evil.example", "user or password"},
		{"https://code.example/path", "path or query"},
		{"https://code.example/?q=1", "path or query"},
		{"ftp://code.example", "unknown scheme"},
		{"https://code.example:port", "cannot be read"},
	}
	for _, row := range refused {
		if _, _, err := parseAddress(row.address, LoopbackOnly); err == nil || !strings.Contains(err.Error(), row.reason) {
			t.Errorf("%+v: %v", row, err)
		}
	}
	if target, secure, err := parseAddress("http://code.example:8000", Anywhere); target != "code.example:8000" || secure || err != nil {
		t.Error(target, secure, err)
	}
}

func TestDelaysDoubleUpToTheLongestAndHalfOfEachIsRandom(t *testing.T) {
	reconnect := Reconnect{}.withDefaults()
	for failures, expected := range map[int]time.Duration{1: 100, 2: 200, 3: 400, 20: 5_000, 1_000_000: 5_000} {
		if got := reconnect.delay(failures, nil, 0); got != expected*time.Millisecond {
			t.Error(failures, got)
		}
	}
	asked := 30 * time.Second
	if got := reconnect.delay(1, nil, 1); got != 200*time.Millisecond {
		t.Error(got)
	}
	if got := reconnect.delay(1, &asked, 1); got != 30_200*time.Millisecond {
		t.Error(got)
	}
}

func TestLiveOutputDropsWhatCameTwiceAndCountsWhatIsMissing(t *testing.T) {
	output := func(offset uint64, data string) *backspacev1.TaskEvent {
		delta := &backspacev1.ToolOutputDelta{CallId: "c1", Offset: offset, Chunk: &backspacev1.ToolOutputDelta_Stdout{Stdout: []byte(data)}}
		return &backspacev1.TaskEvent{Payload: &backspacev1.TaskEvent_ToolOutputDelta{ToolOutputDelta: delta}}
	}
	table := []struct {
		event    *backspacev1.TaskEvent
		expected Piece
	}{
		{live(1, 0, "häl"), Piece{"turn 1", []byte("häl"), 0, false}},
		{live(1, 1, "ällo"), Piece{"turn 1", []byte("lo"), 0, false}},
		{live(1, 4, "lo"), Piece{}},
		{live(1, 9, "!"), Piece{"turn 1", []byte("!"), 3, false}},
		{live(2, 0, "anew"), Piece{"turn 1", []byte("anew"), 0, true}},
		{live(1, 0, "late"), Piece{}},
		{output(0, "ab"), Piece{"c1 stdout", []byte("ab"), 0, false}},
		{output(1, "bc"), Piece{"c1 stdout", []byte("c"), 0, false}},
		{eventLog(2)[0], Piece{}},
	}
	var follower LiveOutput
	for _, row := range table {
		got, adds := follower.Take(row.event)
		if !reflect.DeepEqual(got, row.expected) || adds != (row.expected.Source != "") {
			t.Errorf("%v: got %+v", row.event, got)
		}
	}
}
