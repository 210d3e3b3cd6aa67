'use client';

import { useEffect } from 'react';
import { start } from '../../shared/app.js';

export default function Page() {
  useEffect(() => void start(), []);
  return <p>webmoe</p>;
}
