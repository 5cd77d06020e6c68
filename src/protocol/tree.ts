/** What `session tree` shows: the terminals of the person's tmux servers and cmux windows, and which of them are adopted. */
import { z } from 'zod';
import { sessionStateSchema } from './state.ts';

const adoptedSchema = z.object({ sessionId: z.string(), role: z.string(), state: sessionStateSchema });
export type TreeAdopted = z.infer<typeof adoptedSchema>;

const paneSchema = z.object({
  id: z.string(),
  /** As `session adopt` takes it. */
  target: z.string(),
  index: z.int(),
  active: z.boolean(),
  title: z.string(),
  /** What tmux names; often the interpreter of what really runs. */
  command: z.string(),
  cwd: z.string(),
  size: z.string(),
  dead: z.boolean(),
  /** The agent that was found among the pane's processes. */
  agent: z.string().nullable(),
  adopted: adoptedSchema.nullable(),
});
export type TreePane = z.infer<typeof paneSchema>;

const surfaceSchema = z.object({
  id: z.string(),
  /** Counted anew by cmux at any time; only to be read. */
  ref: z.string(),
  target: z.string(),
  title: z.string(),
  type: z.string(),
  agent: z.string().nullable(),
  adopted: adoptedSchema.nullable(),
});
export type TreeSurface = z.infer<typeof surfaceSchema>;

export const treeSchema = z.object({
  servers: z.array(
    z.object({
      socket: z.string(),
      pid: z.int().nullable(),
      /** Why nothing is known of it. */
      problem: z.string().nullable(),
      sessions: z.array(
        z.object({
          id: z.string(),
          name: z.string(),
          attached: z.boolean(),
          windows: z.array(
            z.object({
              id: z.string(),
              index: z.int(),
              name: z.string(),
              active: z.boolean(),
              panes: z.array(paneSchema),
            }),
          ),
        }),
      ),
    }),
  ),
  cmux: z.object({
    status: z.enum(['ok', 'absent', 'down', 'denied', 'unauthorized', 'slow', 'failed']),
    problem: z.string().nullable(),
    windows: z.array(
      z.object({
        id: z.string(),
        ref: z.string(),
        workspaces: z.array(
          z.object({
            id: z.string(),
            ref: z.string(),
            title: z.string(),
            selected: z.boolean(),
            surfaces: z.array(surfaceSchema),
          }),
        ),
      }),
    ),
  }),
});
export type Tree = z.infer<typeof treeSchema>;
