package pg

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// A Loop carries out, in the server, statements that differ in their values alone, and reads
// numbers behind each. Every one of them has a snapshot of its own, as if it had been sent by
// itself, but costs microseconds. It is a DO block, which takes no values and returns none: both
// travel in settings that end with the transaction. An error does not tell which statement failed.
type Loop struct {
	// Given writes a query of one array with an item for each statement from first up to before end,
	// counted from 0, which finds it as LoopGiven. It is read before the first statement and again
	// behind the last, whose snapshot is younger: had it changed in between, a statement could have
	// seen half of what another transaction has done. Then the loop fails, with the code 40001; and so
	// it does if the array is NULL.
	Given func(s *Statement, first, end int)
	// GivenType is the type of the array.
	GivenType string
	// Numbers is a list of expressions of type bigint, none of them NULL, read behind each statement.
	Numbers func(s *Statement) string
	// Read gets the ordinal (from 0) of each statement, how many rows it touched, and the numbers.
	Read func(i int, affected int64, numbers []int64) error
}

// The variable that holds the values of a statement, its fields p1, p2, …, and what is Given.
const (
	loopRow   = "reaper_loop"
	LoopGiven = loopRow + ".given"
)

// InLoop begins a statement of a loop.
func InLoop() *Statement {
	return &Statement{place: func(n int) string { return loopRow + ".p" + strconv.Itoa(n) }}
}

// Queue queues statements, each begun by InLoop, one loop for those that follow each other and have
// the same text.
func (l *Loop) Queue(b *pgx.Batch, types *pgtype.Map, statements []*Statement) error {
	for first := 0; first < len(statements); {
		end := first + 1
		for end < len(statements) && statements[end].String() == statements[first].String() {
			end++
		}
		if err := l.queue(b, types, statements, first, end); err != nil {
			return err
		}
		first = end
	}
	return nil
}

// queue queues one loop.
func (l *Loop) queue(b *pgx.Batch, types *pgtype.Map, statements []*Statement, first, end int) error {
	v := &loopValues{types: types, set: &Statement{}}
	for k, typ := range statements[first].types {
		if err := v.add(k, typ, statements[first:end]); err != nil {
			return err
		}
	}
	given, err := v.constants(func(s *Statement) string {
		l.Given(s, first, end)
		return s.String()
	})
	if err != nil {
		return err
	}
	numbers, err := v.constants(l.Numbers)
	if err != nil {
		return err
	}
	b.Queue(v.set.String(), v.set.Args...)
	b.Queue("DO " + Literal(`#variable_conflict use_column
DECLARE
  `+loopRow+` pg_catalog.record;
  reaper_affected pg_catalog.int8;
  reaper_lines pg_catalog.text[] := '{}';
  reaper_given `+l.GivenType+` := (`+given+`);
  reaper_mode pg_catalog.text := pg_catalog.current_setting('plan_cache_mode');
BEGIN
  IF reaper_given IS NULL THEN
    RAISE EXCEPTION 'a loop is given nothing' USING ERRCODE = '40001';
  END IF;
  PERFORM `+SetConfig("plan_cache_mode", "'force_generic_plan'")+`;
  FOR `+loopRow+` IN SELECT `+strings.Join(append(v.fields, "reaper_given[reaper_x.n] AS given"), ", ")+` FROM `+v.from(end-first)+`
  LOOP
`+statements[first].String()+`;
    GET DIAGNOSTICS reaper_affected = ROW_COUNT;
    reaper_lines := pg_catalog.array_append(reaper_lines, pg_catalog.array_to_string(ARRAY[reaper_affected, `+numbers+`], ' '));
  END LOOP;
  PERFORM `+SetConfig("plan_cache_mode", "reaper_mode")+`;
  IF (reaper_given OPERATOR(pg_catalog.=) (`+given+`)) IS NOT TRUE THEN
    RAISE EXCEPTION 'what a loop was given has changed' USING ERRCODE = '40001';
  END IF;
  PERFORM `+SetConfig("reaper.lines", "pg_catalog.array_to_string(reaper_lines, ',')")+`;
END`))
	b.Queue("SELECT pg_catalog.current_setting('reaper.lines')").Query(func(rows pgx.Rows) error {
		var lines string
		if err := ScanOne(&lines)(rows); err != nil {
			return err
		}
		return l.read(first, end, lines)
	})
	return nil
}

// read reads what the statements of a loop have done.
func (l *Loop) read(first, end int, lines string) error {
	split := strings.Split(lines, ",")
	if len(split) != end-first {
		return fmt.Errorf("reading what %d statements did: %d answers", end-first, len(split))
	}
	for i, line := range split {
		var numbers []int64
		for field := range strings.FieldsSeq(line) {
			v, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return fmt.Errorf("reading what a statement did: %w", err)
			}
			numbers = append(numbers, v)
		}
		if err := l.Read(first+i, numbers[0], numbers[1:]); err != nil {
			return err
		}
	}
	return nil
}

// loopValues are the values of a loop, as settings.
type loopValues struct {
	types          *pgtype.Map
	set            *Statement // sets them
	settings       int
	fields         []string // of the values that each statement has
	columns, lists []string // of those that differ
}

// setting is the expression of the list in the n-th setting.
func setting(n int) string {
	return "pg_catalog.current_setting('reaper.v" + strconv.Itoa(n) + "')::pg_catalog.text[]"
}

// addSetting adds a setting.
func (v *loopValues) addSetting(list []*string) {
	separator := ", "
	if v.settings++; v.settings == 1 {
		separator = "SELECT "
	}
	v.set.Add(separator, SetConfig("reaper.v"+strconv.Itoa(v.settings), v.set.Cast(list, TextType+"[]")+"::pg_catalog.text"))
}

// constants writes a part of the loop whose values are the same for all statements.
func (v *loopValues) constants(write func(*Statement) string) (sql string, err error) {
	before := v.settings
	s := &Statement{place: func(n int) string { return "(" + setting(before+n) + ")[1]" }}
	sql = write(s)
	for _, value := range s.Args {
		text, err := v.text(value)
		if err != nil {
			return "", err
		}
		v.addSetting([]*string{text})
	}
	return sql, nil
}

// from is the relation of the values that differ, with the ordinal n.
func (v *loopValues) from(statements int) string {
	if len(v.lists) == 0 {
		return "pg_catalog.generate_series(1, " + strconv.Itoa(statements) + ") reaper_x(n)"
	}
	return "ROWS FROM (" + strings.Join(v.lists, ", ") + ") WITH ORDINALITY reaper_x(" + strings.Join(v.columns, ", ") + ", n)"
}

// add adds the k-th value of each statement. One that is the same in all is set once.
func (v *loopValues) add(k int, typ string, statements []*Statement) error {
	list := make([]*string, len(statements))
	for i, s := range statements {
		var err error
		if list[i], err = v.text(s.Args[k]); err != nil {
			return err
		}
	}
	name := strconv.Itoa(k + 1)
	if same(list) {
		v.addSetting(list[:1])
		v.fields = append(v.fields, "("+setting(v.settings)+")[1]::"+typ+" AS p"+name)
		return nil
	}
	v.addSetting(list)
	v.fields = append(v.fields, "reaper_x.c"+name+"::"+typ+" AS p"+name)
	v.columns, v.lists = append(v.columns, "c"+name), append(v.lists, "pg_catalog.unnest("+setting(v.settings)+")")
	return nil
}

// same reports whether all values of a list are equal.
func same(column []*string) bool {
	return !slices.ContainsFunc(column, func(v *string) bool {
		return (v == nil) != (column[0] == nil) || v != nil && *v != *column[0]
	})
}

// text is a value as PostgreSQL reads it; nil is NULL.
func (v *loopValues) text(value any) (*string, error) {
	switch s := value.(type) {
	case nil:
		return nil, nil
	case string:
		return &s, nil
	}
	t, known := v.types.TypeForValue(value)
	if !known {
		return nil, fmt.Errorf("a statement is bound to a value of type %T", value)
	}
	text, err := v.types.Encode(t.OID, pgtype.TextFormatCode, value, nil)
	if text == nil || err != nil {
		return nil, err
	}
	s := string(text)
	return &s, nil
}
