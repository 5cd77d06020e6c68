/** Personas, and the projects whose personas are trusted. */
import { isAbsolute } from 'node:path';
import { Fault } from '../base/fault.ts';
import type { Personas } from '../sessions/index.ts';
import type { Handlers } from './http.ts';

type PersonaHandlers = Pick<
  Handlers,
  | 'listPersonas'
  | 'showPersona'
  | 'checkPersona'
  | 'writePersona'
  | 'listProjects'
  | 'showProject'
  | 'trustProject'
  | 'distrustProject'
>;

export function personaHandlers(personas: Personas): PersonaHandlers {
  return {
    listPersonas: ({ query }) => personas.list(folder(query.project)),
    showPersona: ({ id, query }) => personas.show(folder(query.project), id),
    checkPersona: ({ id, body }) => personas.check(folder(body.project), { name: id, text: body.text }),
    writePersona: ({ id, body }) => personas.write({ name: id, ...body }),
    listProjects: async () => ({ projects: [...(await personas.trusted())] }),
    showProject: async ({ query }) => {
      const { trust, personas: brought } = await personas.project(absolute(query.project));
      return { trust, personas: [...brought] };
    },
    trustProject: async ({ body }) => ({ trust: await personas.trust(absolute(body.project), body.hash) }),
    distrustProject: async ({ body }) => ({ trust: await personas.distrust(absolute(body.project)) }),
  };
}

const folder = (path: string | undefined): string | undefined => (path === undefined ? undefined : absolute(path));

function absolute(path: string): string {
  if (isAbsolute(path)) return path;
  throw new Fault('BAD_REQUEST', `project: "${path}" is no absolute path`, { subject: 'project' });
}
