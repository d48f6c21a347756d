/* topk.h: parameters of topk beside those in slots.h: groups of experts.
 *
 * groups > 1 (a divisor of E): experts stand in so many groups of neighbours; first top_groups groups are selected, by
 * the sum of the group_sum (1 or 2) largest selection scores in each, ties to the lower group; then experts in these.
 * Sums of two are for sigmoid scores (DeepSeek-V3); with softmax a group counts as its best expert (DeepSeek-V2). */
#pragma once
#include "slots.h"

enum { LB_TOPK_P_GROUPS = LB_TOPK_P_SCALE + 1, LB_TOPK_P_TOP_GROUPS, LB_TOPK_P_GROUP_SUM };
