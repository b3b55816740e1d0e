/* Subtitles of any bytes: parsed or refused with a sentence, and what is parsed can be planned. */
#include "common/scoped.h"
#include "services/worker/segments.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[SUBTITLE_ERROR];
    scoped(subtitle) subtitle = NULL;
    int r = subtitle_parse(slice_make(data, size), &subtitle, error);
    assert((r == 0) == (subtitle != NULL));
    if (r != 0)
        return 0;

    const struct segment_rules rules = { .audio_s = 60, .min_s = 0, .max_s = 7, .silence = true };
    scoped(segments) segments = segments_new(subtitle, &rules);
    assert(segments && segments->count >= subtitle->count);
    for (size_t i = 0; i < segments->count; i++) {
        const struct segment *segment = &segments->items[i];
        char folder[SEGMENT_FILE_MAX];
        segment_folder(segment, folder);
        assert(folder[0] && folder[0] != '.' && !strchr(folder, '/'));
        if (segment->state == SEGMENT_WANTED)
            assert(segment->start_s >= 0 && segment->end_s <= rules.audio_s);
    }
    return 0;
}
