package backspace

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrorDomain is the domain of the google.rpc.ErrorInfo of every error that the server itself made. No proxy, reset
// or broken connection has one; the code alone can't tell them apart, since an HTTP/2 reset is Internal too.
const ErrorDomain = "backspace"

// Origin says who made an error.
type Origin int

const (
	// Transport is the connection, a proxy, or another kind of server.
	Transport Origin = iota
	// Server is the Backspace server.
	Server
)

// FieldViolation is a field that was refused.
type FieldViolation struct {
	// Field is its path in the request: spec.repository.url.
	Field string
	// Description says what is wrong with it.
	Description string
}

// CallError is a call that failed: the server's answer, or a fault of the connection.
type CallError struct {
	// Code is the code of gRPC.
	Code codes.Code
	// Message is for a person.
	Message string
	// Reason is for a program: the words of Failure.Reason where they apply. Empty without an ErrorInfo.
	Reason string
	// Metadata is what the ErrorInfo says beside the reason.
	Metadata map[string]string
	// Violations are all the fields that were refused.
	Violations []FieldViolation
	// RetryAfter is how long the server asks to be left alone; nil when it does not say.
	RetryAfter *time.Duration
	// Origin says who made this error.
	Origin Origin

	status *status.Status
}

// Error says what went wrong and names every field that was refused.
func (e *CallError) Error() string {
	var text strings.Builder
	text.WriteString(e.Message)
	if e.Message == "" {
		text.WriteString(e.Code.String())
	}
	for _, violation := range e.Violations {
		fmt.Fprintf(&text, "; %s: %s", violation.Field, violation.Description)
	}
	return text.String()
}

// GRPCStatus returns the status as it came, for status.FromError.
func (e *CallError) GRPCStatus() *status.Status { return e.status }

// Retryable says whether the same call may be answered otherwise a moment later, on this or a new connection.
func (e *CallError) Retryable() bool {
	if e.Origin == Server {
		return e.Code == codes.Unavailable || e.RetryAfter != nil
	}
	switch e.Code {
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.FailedPrecondition, codes.Unimplemented, codes.Unauthenticated:
		return false
	default:
		return true
	}
}

func callError(err error) *CallError {
	state := status.Convert(err)
	failed := &CallError{Code: state.Code(), Message: state.Message(), status: state}
	for _, detail := range state.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.Domain == ErrorDomain {
				failed.Reason, failed.Metadata, failed.Origin = detail.Reason, detail.Metadata, Server
			}
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				failed.Violations = append(failed.Violations, FieldViolation{violation.Field, violation.Description})
			}
		case *errdetails.RetryInfo:
			delay := detail.GetRetryDelay().AsDuration()
			failed.RetryAfter = &delay
		}
	}
	return failed
}

func transportFault(format string, values ...any) *CallError {
	return callError(status.Errorf(codes.Unavailable, format, values...))
}

// AddressError is an address or an option that can't be used.
type AddressError struct{ reason string }

func (e *AddressError) Error() string { return e.reason }

// UnreachableError says that nothing answers at the address.
type UnreachableError struct {
	// Address is the address tried.
	Address string
	// Cause is what the connection says.
	Cause *CallError
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no Backspace server can be reached at %s: %v", e.Address, e.Cause)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Cause }

// LostError says that the connection was lost and could not be made again in time; the Task goes on without us.
type LostError struct {
	// Task is the Task's name, empty if the server had not told it.
	Task string
	// LastSequence is the last durable event that was delivered: where Client.Watch can go on.
	LastSequence uint64
	// LostFor is how long it was tried for.
	LostFor time.Duration
	// Cause is the last fault.
	Cause *CallError
}

func (e *LostError) Error() string {
	return fmt.Sprintf("the connection was lost and could not be made again in %.0f s: %v", e.LostFor.Seconds(), e.Cause)
}

// Unwrap returns the cause.
func (e *LostError) Unwrap() error { return e.Cause }

// ContractError says that the server broke the contract.
type ContractError struct{ reason string }

func (e *ContractError) Error() string { return "the server broke the contract: " + e.reason }
