/* A file of settings, or the limits of queues, of any bytes: read, or refused in a sentence. The
 * first byte chooses. */
#include "common/scoped.h"
#include "common/setting_row.h"
#include "common/status.h"
#include "services/state/depths.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_all(const struct setting_texts *texts)
{
    struct settings settings;
    setting_defaults(&settings);
    for (size_t i = 0; i < SETTING_ROWS; i++) {
        char error[CONFIG_ERROR] = "";
        if (!texts->text[i])
            continue;
        int r = setting_take(&setting_rows[i], texts->text[i], "file", &settings, error);
        assert((r == 0) == (error[0] == '\0') && (r == 0 || r == STATUS_INVALID));
    }
}

static void fuzz_file(const uint8_t *data, size_t size)
{
    struct setting_texts texts = { 0 };
    char path[64], error[CONFIG_ERROR] = "";
    scoped_fd int fd = memfd_create("settings", MFD_CLOEXEC);
    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int r = setting_texts_read(path, &texts, error);
    assert((r == 0) == (error[0] == '\0') && (r == 0 || r == STATUS_INVALID));
    take_all(&texts);
    setting_texts_clear(&texts);
}

static void fuzz_depths(const uint8_t *data, size_t size)
{
    scoped(depths) depths = NULL;
    scoped_text char *limits = slice_dup(slice_make(data, size));
    struct slice wrong = { 0 };
    assert(limits);
    int r = depths_new(limits, 7, &depths, &wrong);
    assert((r == 0) == (depths != NULL) && (r == -EINVAL) == (wrong.size > 0));
    if (r == 0)
        assert(depths_of(depths, SLICE("ffmpeg")) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size && data[0] & 1)
        fuzz_depths(data + 1, size - 1);
    else if (size)
        fuzz_file(data + 1, size - 1);
    return 0;
}
