package backspace

import (
	"fmt"

	backspacev1 "github.com/backspace-dev/backspace/sdk/go/backspace/v1"
)

// Piece is what a live-only event adds.
type Piece struct {
	// Source is whose it is: "turn 3", or "{call_id} stdout".
	Source string
	// Data is to be appended; UTF-8 when the source is a turn.
	Data []byte
	// Missing is how many bytes before Data were never received.
	Missing uint64
	// Replaces says that what this source had is void: the model's answer is being written anew.
	Replaces bool
}

// LiveOutput puts the live-only events of one run together: text that is being written, output of a running command.
//
// They may be dropped and, on a new connection, may begin anywhere. Their offsets say where each belongs: what came
// already is cut off, what is missing is counted.
type LiveOutput struct {
	places map[string]place
}

type place struct {
	attempt uint32
	end     uint64
}

// Take returns what the event adds; false for another kind of event, and when it adds nothing.
func (l *LiveOutput) Take(event *backspacev1.TaskEvent) (Piece, bool) {
	if delta := event.GetAssistantDelta(); delta != nil {
		return l.put(fmt.Sprintf("turn %d", delta.Turn), delta.Attempt, delta.Offset, []byte(delta.Text))
	}
	if output := event.GetToolOutputDelta(); output != nil {
		switch chunk := output.Chunk.(type) {
		case *backspacev1.ToolOutputDelta_Stdout:
			return l.put(output.CallId+" stdout", 0, output.Offset, chunk.Stdout)
		case *backspacev1.ToolOutputDelta_Stderr:
			return l.put(output.CallId+" stderr", 0, output.Offset, chunk.Stderr)
		}
	}
	return Piece{}, false
}

func (l *LiveOutput) put(source string, attempt uint32, offset uint64, data []byte) (Piece, bool) {
	known, seen := l.places[source]
	if !seen {
		known.attempt = attempt
	}
	if attempt < known.attempt {
		return Piece{}, false
	}
	replaces := attempt > known.attempt
	if replaces {
		known = place{attempt: attempt}
	}
	piece := Piece{Source: source, Data: data, Replaces: replaces}
	end := offset + uint64(len(data))
	if offset > known.end {
		piece.Missing = offset - known.end
	} else {
		piece.Data = data[min(known.end-offset, uint64(len(data))):]
	}
	if len(piece.Data) == 0 && !replaces {
		return Piece{}, false
	}
	if l.places == nil {
		l.places = map[string]place{}
	}
	known.end = max(known.end, end)
	l.places[source] = known
	return piece, true
}
