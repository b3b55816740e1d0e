/* What Redis answers an audit, pass after pass, whoever wrote there: a line is an answer. */
#include "common/scoped.h"
#include "services/state/audit_walk.h"
#include "tests/fuzz/replies.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REMEMBERED = 4 }; /* so few that a pass takes several walks */

/* The walk is over: what it found, and what comes next. */
static void settle(marks_t *marks, struct walk *walk)
{
    struct suspect suspect;
    while (marks_suspect(marks, &suspect))
        assert(suspect.text.size && suspect.seen <= SEEN_TWICE);
    if (!marks_more(marks)) {
        (void)marks_amiss(marks);
        marks_begin(marks);
    }
    walk_clear(walk);
    walk_begin(walk, marks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scoped(marks) marks = marks_new(REMEMBERED, 1);
    scoped_in(walk) walk = { 0 };
    scoped_text char *text = slice_dup(slice_make(data, size));
    struct line line;
    assert(marks && text);
    marks_begin(marks);
    walk_begin(&walk, marks);
    for (char *at, *rest = text; (at = cut_text(&rest, '\n'));) {
        line_read(&line, at);
        if (walk_take(&walk, &line.all))
            break;
        assert(walk.at <= walk.names_count && walk.page_count <= WALK_PAGE);
        if (walk.step == WALK_OVER)
            settle(marks, &walk);
    }
    return 0;
}
