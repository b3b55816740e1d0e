#include "services/front/route.h"

const struct route routes_tasks[] = {
    { 0 },
};
